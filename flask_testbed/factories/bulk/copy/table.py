"""A table as the server knows it: the types and defaults of its columns, and COPY into it."""

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
from .connection import CopyConnection, Explain
from .encode import ServerType

#: The columns of a table: name, type and element type with their receive functions, and default.
#: A domain is replaced by its base type. A domain over a domain is not resolved further: its
#: receive function is ``domain_recv``.
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


class ServerTable:
    """A table in the transaction of a connection."""

    def __init__(self, connection: CopyConnection, table: Table) -> None:
        self.connection = connection
        self.table = table
        self.dialect = connection.connection.dialect
        self.name = self.dialect.identifier_preparer.format_table(table)
        self.types: dict[str, ServerType] = {}
        self._defaults: dict[str, str] = {}
        rows = connection.driver.execute(_COLUMNS, {"table": self.name}, binary=True).fetchall()
        for name, oid, receive, element, element_receive, default in rows:
            inner = ServerType(element, _unqualified(element_receive)) if element else None
            self.types[name] = ServerType(oid, _unqualified(receive), inner)
            if default is not None:
                self._defaults[name] = default

    def has_default(self, column: str) -> bool:
        """Return whether the server has a default for a column, or counts it."""
        return column in self._defaults

    def defaults(self, column: str, size: int) -> list[Any]:
        """Return the default values of a column for new rows, evaluated in one statement."""
        statement = f"SELECT {self._defaults[column]} FROM generate_series(1, {size})"  # noqa: S608
        return [row[0] for row in self.connection.driver.execute(statement, binary=True)]

    def copy(self, columns: Sequence[str], rows: Iterable[bytes], explain: Explain) -> None:
        """Write rows that are encoded in the binary format; see `CopyConnection.copy`."""
        self.connection.copy(self._statement(columns, "BINARY"), rows, explain)

    def copy_as_text(
        self, columns: Sequence[str], rows: Iterable[tuple[Any, ...]], explain: Explain
    ) -> None:
        """Write rows as text, which the server reads as it reads a literal."""
        statement = self._statement(columns, "TEXT")
        try:
            with self.connection.driver.cursor() as cursor, cursor.copy(statement) as to:
                for row in rows:
                    to.write_row(row)
        except psycopg.Error as error:
            raise explain(error) from error

    def _statement(self, columns: Sequence[str], form: str) -> sql.Composed:
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT {})").format(
            sql.SQL(self.name), names, sql.SQL(form)
        )


def _unqualified(name: str) -> str:
    return name.rpartition(".")[2]


def rows_of(fields: Sequence[list[bytes] | bytes], size: int) -> bytes:
    """Return rows of encoded fields; a field that is the same in all rows is given once."""
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


def refused(
    table: ServerTable, factory: str, rows: Sequence[int], error: psycopg.Error
) -> BulkError:
    """Return an error that says which row the server has refused, and why.

    :param rows: the numbers of the rows in the call, in the order in which they were sent.
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
        f"{which} of {factory} was refused by the {where} {table.table.name!r}: {said}{detail}."
        " No row was kept: change the declaration, or give the value in the call.",
        row=row,
        table=table.table.name,
        column=column,
        constraint=diagnosis.constraint_name,
    )
