"""One table of the database: what its columns are to the server, and COPY into it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from struct import pack
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Table

from ....errors import BulkError
from .encode import ServerType
from .wire import Refusal, Wire

#: A domain is read as its base type is, and a domain over a domain by a function of its own.
_COLUMNS = """
SELECT a.attname, t.oid, t.typreceive::text, e.oid, e.typreceive::text,
       CASE WHEN a.attidentity <> '' THEN
           format('nextval(%%L::regclass)', pg_get_serial_sequence(%(table)s, a.attname))
       ELSE pg_get_expr(d.adbin, d.adrelid) END
FROM pg_attribute a
JOIN pg_type own ON own.oid = a.atttypid
JOIN pg_type t ON t.oid = CASE own.typtype WHEN 'd' THEN own.typbasetype ELSE own.oid END
LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %(table)s::regclass AND a.attnum > 0 AND NOT a.attisdropped
"""


class Target:
    """A table in the transaction of a connection."""

    def __init__(self, wire: Wire, table: Table) -> None:
        self.wire = wire
        self.table = table
        self.dialect = wire.connection.dialect
        self.name = self.dialect.identifier_preparer.format_table(table)
        self.types: dict[str, ServerType] = {}
        self._defaults: dict[str, str] = {}
        rows = wire.driver.execute(_COLUMNS, {"table": self.name}, binary=True).fetchall()
        for name, oid, receive, element, element_receive, default in rows:
            inner = ServerType(element, _short(element_receive)) if element else None
            self.types[name] = ServerType(oid, _short(receive), inner)
            if default is not None:
                self._defaults[name] = default

    def has_default(self, column: str) -> bool:
        """Whether the server makes a value of its own for a column."""
        return column in self._defaults

    def defaults(self, column: str, size: int) -> list[Any]:
        """As many values as the server would give to new rows: identities, in one statement."""
        statement = f"SELECT {self._defaults[column]} FROM generate_series(1, {size})"  # noqa: S608
        return [row[0] for row in self.wire.driver.execute(statement, binary=True)]

    def copy(self, columns: Sequence[str], rows: Iterable[bytes], refusal: Refusal) -> None:
        """Write rows that are encoded.

        :param refusal: what to raise, now or at the next use of the wire, if one is refused.
        """
        self.wire.copy(self._statement(columns, "BINARY"), rows, refusal)

    def copy_as_text(
        self, columns: Sequence[str], rows: Iterable[tuple[Any, ...]], refusal: Refusal
    ) -> None:
        """Write rows as text, for the server to read as it would read a literal."""
        statement = self._statement(columns, "TEXT")
        try:
            with self.wire.driver.cursor() as cursor, cursor.copy(statement) as to:
                for row in rows:
                    to.write_row(row)
        except psycopg.Error as error:
            raise refusal(error) from error

    def _statement(self, columns: Sequence[str], form: str) -> sql.Composed:
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT {})").format(
            sql.SQL(self.name), names, sql.SQL(form)
        )


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def rows_of(fields: Sequence[list[bytes] | bytes], size: int) -> bytes:
    """Rows of encoded fields, one after another; a field that all have in common comes once."""
    parts: list[Iterable[bytes]] = []
    same = pack(">h", len(fields))
    for field in fields:
        if isinstance(field, bytes):
            same += field
            continue
        if same:
            parts.append(repeat(same, size))
        parts.append(field)
        same = b""
    if same:
        parts.append(repeat(same, size))
    return b"".join(chain.from_iterable(zip(*parts, strict=True)))


def refusal(target: Target, factory: str, rows: Sequence[int], error: psycopg.Error) -> BulkError:
    """Say in a sentence which row the database has refused, and why.

    :param rows: the numbers of the rows that are written, in their order.
    """
    diagnosis = error.diag
    place = re.search(r", line (\d+)(?:, column ([^:\n]+))?", diagnosis.context or "")
    line = int(place[1]) if place and int(place[1]) <= len(rows) else None
    column = diagnosis.column_name or (place[2] if place else None)
    row = None if line is None else rows[line - 1]
    which = "A row" if row is None else f"Row {row:,}"
    where = f"column {column!r} of table" if column else "table"
    said = diagnosis.message_primary or str(error).strip()
    detail = f" ({diagnosis.message_detail.rstrip('.')})" if diagnosis.message_detail else ""
    return BulkError(
        f"{which} of {factory} was refused by the {where} {target.table.name!r}: {said}{detail}."
        " No row was kept: change the declaration, or give the value in the call.",
        row=row,
        table=target.table.name,
        column=column,
        constraint=diagnosis.constraint_name,
    )
