"""Copy the rows of one database into another of the same schema."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO, Any, LiteralString

import psycopg
from psycopg import sql

from ...errors import IsolationError
from ...postgres.connecting import reason
from ...postgres.session import format_values

#: Bytes of a table that stay in memory while its rows are copied; more are in a file.
SPOOLED = 1 << 22

AnyConnection = psycopg.Connection[Any]

_TABLES = """
SELECT t.name, c.columns
FROM flask_testbed.user_table t CROSS JOIN flask_testbed.column_lists(t.oid) c
ORDER BY t.name
"""
_SEQUENCES = """
SELECT format('%I.%I', n.nspname, c.relname), pg_sequence_last_value(s.seqrelid)
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relpersistence <> 't' AND pg_sequence_last_value(s.seqrelid) IS NOT NULL
"""

# The rows stay in the encoding of the databases, whatever the sessions use.
_READ = "COPY (SELECT {columns} FROM ONLY {name}) TO STDOUT (ENCODING {encoding})"
_WRITE = "COPY {target} FROM STDIN (ENCODING {encoding})"


@dataclass(frozen=True)
class Table:
    """A table, or a copy of one, and the columns of it that are copied.

    Both are as the server has quoted them. A table without columns has rows as well.
    """

    name: str
    columns: str

    @property
    def target(self) -> str:
        """The table and its columns, as the target of a COPY or an INSERT."""
        return f"{self.name} ({self.columns})" if self.columns else self.name

    def sql(self, text: LiteralString, **parts: str) -> sql.Composed:
        """Return a statement about the table.

        :param text: with ``{name}``, ``{columns}``, ``{target}`` and the names of other parts.
        """
        parts |= {"name": self.name, "columns": self.columns, "target": self.target}
        return sql.SQL(text).format(**{key: sql.SQL(part) for key, part in parts.items()})

    @contextmanager
    def rows(self, source: AnyConnection) -> Iterator[IO[bytes]]:
        """Read the rows of the table into a temporary file."""
        with SpooledTemporaryFile(max_size=SPOOLED) as file:
            statement = self.sql(_READ, encoding=_encoding(source))
            with source.cursor().copy(statement) as copy:
                for part in copy:
                    file.write(part)
            yield file

    def insert(self, target: AnyConnection, rows: IO[bytes]) -> None:
        """Insert rows that :meth:`rows` has read, of a table with the same columns."""
        rows.seek(0)
        statement = self.sql(_WRITE, encoding=_encoding(target))
        with target.cursor().copy(statement) as copy:
            while part := rows.read(1 << 16):
                copy.write(part)


def copy_rows(source: AnyConnection, target: AnyConnection) -> None:
    """Replace the rows and the sequences of one database with those of another.

    :param source: may be in a transaction, whose uncommitted rows are copied as well.
    :param target: to a database of the same schema that no one else uses, in autocommit mode.
    :raises IsolationError: the schemas are not the same.
    """
    try:
        format_values(source)
        with target.transaction():
            tables = [Table(*row) for row in target.execute(_TABLES).fetchall()]
            staged = {table: f"pg_temp.staged_{i}" for i, table in enumerate(tables)}
            for table, name in staged.items():
                _stage(source, target, table, name)
            _replace(target, staged)
        for name, value in source.execute(_SEQUENCES).fetchall():
            target.execute("SELECT setval(%s, %s)", [name, value])
    except psycopg.Error as error:
        raise IsolationError(
            f"The rows cannot be copied: {reason(error)}. Has the test changed the schema?"
        ) from error


def _encoding(connection: AnyConnection) -> str:
    """Return the encoding of a database."""
    return f"'{connection.info.parameter_status('server_encoding')}'"


def _stage(source: AnyConnection, target: AnyConnection, table: Table, staged: str) -> None:
    """Copy the rows of a table into a temporary one."""
    target.execute(
        table.sql(
            "CREATE TABLE {staged} AS SELECT {columns} FROM ONLY {name} WITH NO DATA",
            staged=staged,
        )
    )
    with table.rows(source) as rows:
        Table(staged, table.columns).insert(target, rows)


def _replace(target: AnyConnection, staged: dict[Table, str]) -> None:
    """Replace the rows of tables with the staged ones.

    Each step is one statement for all tables, since foreign keys are checked at its end.
    """
    if not staged:
        return
    for table in staged:
        target.execute(table.sql("ALTER TABLE {name} DISABLE TRIGGER USER"))
    _execute_all(target, [table.sql("DELETE FROM ONLY {name}") for table in staged])
    _execute_all(
        target,
        [
            table.sql(
                "INSERT INTO {target} OVERRIDING SYSTEM VALUE SELECT * FROM {staged}",
                staged=name,
            )
            for table, name in staged.items()
        ],
    )
    for table in staged:
        target.execute(table.sql("ALTER TABLE {name} ENABLE TRIGGER USER"))


def _execute_all(target: AnyConnection, statements: list[sql.Composed]) -> None:
    """Execute several statements as one."""
    parts = [
        sql.SQL("{} AS ({})").format(sql.Identifier(f"part_{i}"), statement)
        for i, statement in enumerate(statements)
    ]
    target.execute(sql.SQL("WITH {} SELECT").format(sql.SQL(", ").join(parts)))
