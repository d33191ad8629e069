"""The rows of one database, put into another of the same schema."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO, Any, LiteralString

import psycopg
from psycopg import sql

from ...errors import IsolationError
from ...postgres.connecting import Connection, reason

#: Bytes of a table that stay in memory on their way.
ROOM = 1 << 22

AnyConnection = psycopg.Connection[Any]

_TABLES = """
SELECT t.name, c.columns
FROM flask_testbed.user_table t CROSS JOIN flask_testbed.columns_of(t.oid) c
WHERE c.columns IS NOT NULL ORDER BY t.name
"""
_SEQUENCES = """
SELECT format('%I.%I', n.nspname, c.relname), pg_sequence_last_value(s.seqrelid)
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relpersistence <> 't' AND pg_sequence_last_value(s.seqrelid) IS NOT NULL
"""


@dataclass(frozen=True)
class _Table:
    """A table, and where its rows are on their way."""

    name: str
    """As the database quotes it."""

    columns: str
    """Those that are written, as a list."""

    staged: str

    def sql(self, text: LiteralString) -> sql.Composed:
        """A statement about the table."""
        parts = {"name": self.name, "columns": self.columns, "staged": self.staged}
        # The names come quoted from the database itself.
        return sql.SQL(text).format(**{key: sql.SQL(part) for key, part in parts.items()})


def copy_rows(source: AnyConnection, target: AnyConnection) -> None:
    """Have in one database what another holds: the rows, and how far the sequences are.

    :param source: in whatever transaction; what that has not committed is copied, too.
    :param target: to a database of the same schema, in autocommit mode, which nobody uses.
    :raises IsolationError: the schemas are not the same.
    """
    try:
        with target.transaction():
            found = target.execute(_TABLES).fetchall()
            tables = [
                _Table(name, columns, f"pg_temp.staged_{i}")
                for i, (name, columns) in enumerate(found)
            ]
            for table in tables:
                _stage(source, target, table)
            _move(target, tables)
        for name, value in source.execute(_SEQUENCES).fetchall():
            target.execute("SELECT setval(%s, %s)", [name, value])
    except psycopg.Error as error:
        raise IsolationError(
            f"The rows cannot be copied: {reason(error)}. Has the test changed the schema?"
        ) from error


def _stage(source: AnyConnection, target: AnyConnection, table: _Table) -> None:
    """Have the rows beside the table to which they belong."""
    target.execute(
        table.sql("CREATE TABLE {staged} AS SELECT {columns} FROM ONLY {name} WITH NO DATA")
    )
    with SpooledTemporaryFile(max_size=ROOM) as file:
        reading = table.sql("COPY (SELECT {columns} FROM ONLY {name}) TO STDOUT")
        with source.cursor().copy(reading) as rows:
            for part in rows:
                file.write(part)
        file.seek(0)
        with target.cursor().copy(table.sql("COPY {staged} FROM STDIN")) as copy:
            while block := file.read(1 << 16):
                copy.write(block)


def _move(target: AnyConnection, tables: list[_Table]) -> None:
    """Put the rows in their places: in one statement, at whose end foreign keys are checked."""
    if not tables:
        return
    for table in tables:
        target.execute(table.sql("ALTER TABLE {name} DISABLE TRIGGER USER"))
    target.execute(_all(tables, "DELETE FROM ONLY {name}"))
    target.execute(
        _all(
            tables,
            "INSERT INTO {name} ({columns}) OVERRIDING SYSTEM VALUE SELECT * FROM {staged}",
        )
    )
    for table in tables:
        target.execute(table.sql("ALTER TABLE {name} ENABLE TRIGGER USER"))


def _all(tables: list[_Table], text: LiteralString) -> sql.Composed:
    """One statement that does the same for every table."""
    parts = [
        sql.SQL("{} AS ({})").format(sql.Identifier(f"part_{i}"), table.sql(text))
        for i, table in enumerate(tables)
    ]
    return sql.SQL("WITH {} SELECT").format(sql.SQL(", ").join(parts))


#: Bytes of a table that stay in memory while its rows go from one database to another.
ROOM = 1 << 22


@dataclass(frozen=True)
class _LayerTable:
    """The copy of a table in a layer."""

    layer: int
    oid: int
    name: str
    definition: str
    """Its columns with their types, as the server writes them."""

    columns: list[str]
    rows: IO[bytes]


class Saved:
    """Layers on their way from one database to another of the same descent.

    :param connection: to the database in which they are.
    :param numbers: of the layers.
    :param files: closes the files in which their rows are.
    """

    def __init__(self, connection: Connection, numbers: list[int], files: ExitStack) -> None:
        self._files = files
        copies = connection.execute(
            "SELECT layer, oid, name, copy, string_agg(format('%%I %%s', attname,"
            " format_type(atttypid, atttypmod)), ', ' ORDER BY attnum),"
            " array_agg(attname::text ORDER BY attnum)"
            " FROM flask_testbed.layer_table JOIN pg_attribute ON attrelid = copy::regclass"
            " WHERE layer = ANY (%s) AND attnum > 2"
            " GROUP BY layer, oid ORDER BY layer, oid",
            [numbers],
        ).fetchall()
        self._tables = [self._read(connection, *row) for row in copies]
        self._sequences = connection.execute(
            "SELECT layer, oid, last_value FROM flask_testbed.layer_sequence"
            " WHERE layer = ANY (%s)",
            [numbers],
        ).fetchall()

    def _read(
        self,
        connection: Connection,
        layer: int,
        oid: int,
        name: str,
        copy: str,
        definition: str,
        columns: list[str],
    ) -> _LayerTable:
        file: IO[bytes] = SpooledTemporaryFile(max_size=ROOM)  # noqa: SIM115
        self._files.enter_context(file)
        statement = _copy_statement(copy, columns, "TO STDOUT")
        with connection.cursor().copy(statement) as rows:
            for part in rows:
                file.write(part)
        file.seek(0)
        return _LayerTable(layer, oid, name, definition, columns, file)

    def lay(self, connection: Connection) -> None:
        """Lay them into another database, in place of those that are there.

        The next reset restores what they hold.
        """
        connection.execute("SELECT flask_testbed.forget_layers(true)")
        for table in self._tables:
            row = connection.execute(
                "SELECT flask_testbed.lay_table(%s, %s::oid, %s, %s)",
                [table.layer, table.oid, table.name, table.definition],
            ).fetchone()
            # A layer that has changed the schema may have dropped it.
            if row is not None and row[0] is not None:
                table.rows.seek(0)
                with connection.cursor().copy(
                    _copy_statement(row[0], table.columns, "FROM STDIN")
                ) as rows:
                    while part := table.rows.read(1 << 16):
                        rows.write(part)
        connection.cursor().executemany(
            "INSERT INTO flask_testbed.layer_sequence VALUES (%s, %s::oid, %s)", self._sequences
        )
        connection.execute("SELECT flask_testbed.choose_layers()")


def _copy_statement(name: str, columns: list[str], where: LiteralString) -> sql.Composed:
    # The name is of the engine's own making.
    return sql.SQL("COPY {} ({}) " + where).format(
        sql.Identifier(*name.split(".")), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
