"""Errors explained in terms of columns and constraints."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.adapt import PyFormat, Transformer
from sqlalchemy import Column, Connection, Table, inspect, text, types
from sqlalchemy.exc import DBAPIError

__all__ = ["ConstraintCatalog", "Finding"]

_KINDS = {
    "23502": "not null",
    "23503": "foreign key",
    "23505": "unique",
    "23514": "check",
    "23P01": "exclusion",
    "22001": "length",
    "22003": "range",
    "22P02": "type",
    "42804": "type",
}

#: Length at which a message is cut. Its detail may be as long as the row.
_LONGEST = 300

# pg_constraint lacks unique indexes without a constraint, which raise the same error. For an index
# on an expression, the columns are those that the index depends on.
_CONSTRAINTS = """
    SELECT r.relname, c.conname, ARRAY(
        SELECT a.attname FROM pg_attribute a
        WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
        ORDER BY array_position(c.conkey, a.attnum))
    FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid
    UNION ALL
    SELECT r.relname, x.relname, ARRAY(
        SELECT DISTINCT a.attname FROM pg_depend d JOIN pg_attribute a
        ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.objid = i.indexrelid AND d.refobjid = i.indrelid
        ORDER BY a.attname)
    FROM pg_index i JOIN pg_class r ON r.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
    WHERE i.indisunique AND NOT EXISTS (
        SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x'))
"""  # noqa: E501

_DEFERRED = """
    SELECT string_agg(format('%I.%I', n.nspname, c.conname), ', ')
    FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace WHERE c.condeferred
"""


@dataclass(frozen=True)
class Finding:
    """The reason why a call failed."""

    kind: str
    """``unique``, ``check``, ``not null``, ``foreign key``, ``exclusion``, ``length``, ``range``,
    ``type``; or ``error``, which is any other exception."""

    table: str | None
    columns: tuple[str, ...]
    constraint: str | None
    """Name of the constraint in the database, or the column's type; ``None`` for other errors."""

    message: str = field(compare=False)
    """The message of the database or of the exception, with an example."""


class ConstraintCatalog:
    """The constraints of a database.

    :param connection: a connection to the database.
    """

    def __init__(self, connection: Connection) -> None:
        self._dialect = connection.dialect
        self._columns: dict[tuple[str, str], tuple[str, ...]] = {
            (table, name): tuple(columns)
            for table, name, columns in connection.execute(text(_CONSTRAINTS))
        }
        self._deferred = connection.scalar(text(_DEFERRED))

    def check_deferred(self, connection: Connection) -> None:
        """Check the deferred constraints, which are otherwise checked by the commit.

        :raises DBAPIError: a row violates a constraint.
        """
        if self._deferred:
            connection.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
            connection.execute(text(f"SET CONSTRAINTS {self._deferred} DEFERRED"))

    def explain(self, error: Exception, rows: Iterable[Any] = ()) -> Finding:
        """Return the columns and the constraint that an exception is about.

        :param error: the exception that a call of a factory raised.
        :param rows: the objects that were being flushed.
        """
        cause = error.orig if isinstance(error, DBAPIError) else None
        if isinstance(cause, psycopg.Error) and cause.sqlstate:
            return self._explain_server(cause, rows)
        # An error that the server did not report names no column, but perhaps a value.
        for finding in self._suspects(rows):
            if finding.kind == "type":
                return _with_message(finding, f"{finding.message} {_first_line(error)}")
        return Finding("error", None, (), None, f"{type(error).__name__}: {_first_line(error)}")

    def _explain_server(self, error: psycopg.Error, rows: Iterable[Any]) -> Finding:
        diagnosis = error.diag
        table, name = diagnosis.table_name, diagnosis.constraint_name
        message = ". ".join(
            part for part in (diagnosis.message_primary, diagnosis.message_detail) if part
        )
        columns = self._columns.get((table or "", name or ""), ())
        if diagnosis.column_name:
            columns = (diagnosis.column_name,)
        kind = _KINDS.get(error.sqlstate or "", "error")
        if columns or table:
            return Finding(kind, table, columns, name, _cut(message))
        # For a value that does not fit its type, the server does not report the column.
        for finding in self._suspects(rows):
            if finding.kind == kind or kind == "error":
                return _with_message(finding, f"{finding.message} {message}")
        return self._quoted(kind, message, rows)

    def _quoted(self, kind: str, message: str, rows: Iterable[Any]) -> Finding:
        """Return a finding on the column whose name or value the message quotes."""
        quoted = set(re.findall(r'"([^"]+)"', message))
        for column, value in (pair for row in rows for pair in _values(row)):
            if column.name in quoted or str(value) in quoted:
                constraint = str(column.type.compile(self._dialect))
                return Finding(kind, _table(column), (column.name,), constraint, _cut(message))
        return Finding(kind, None, (), None, _cut(message))

    def _suspects(self, rows: Iterable[Any]) -> Iterator[Finding]:
        """Yield a finding for each value that does not fit the type of its column."""
        for row in rows:
            for column, value in _values(row):
                found = self._misfit(column, value)
                if found is not None:
                    kind, why = found
                    constraint = column.type.compile(self._dialect)
                    message = f"{_cut(repr(value), 80)} {why}."
                    yield Finding(kind, _table(column), (column.name,), constraint, message)

    def _misfit(self, column: Column[Any], value: Any) -> tuple[str, str] | None:
        """Return the kind of a misfit and its description, or ``None`` if the value fits."""
        kind = column.type.dialect_impl(self._dialect)
        try:
            process = kind.bind_processor(self._dialect)
            bound = process(value) if process else value
            if not isinstance(kind, types.JSON):
                Transformer().get_dumper(bound, PyFormat.AUTO)
        # The application's own type may raise any exception.
        except Exception:
            return "type", f"is not a value for {column.type}"
        return _too_much(column.type, bound)


def _too_much(kind: types.TypeEngine[Any], value: Any) -> tuple[str, str] | None:
    """Return how a value exceeds the length or the range of its column, or ``None``."""
    while isinstance(kind, types.TypeDecorator):
        kind = kind.impl_instance
    if isinstance(kind, types.String) and isinstance(value, str):
        # To SQLAlchemy an Enum is a String. Its bind processor has refused other values before.
        if kind.length is not None and len(value) > kind.length:
            return "length", f"has {len(value)} characters, and the column takes {kind.length}"
    elif isinstance(kind, types.Integer) and isinstance(value, int):
        bits = 16 if isinstance(kind, types.SmallInteger) else 32
        bits = 64 if isinstance(kind, types.BigInteger) else bits
        if not -(1 << bits - 1) <= value < 1 << bits - 1:
            return "range", f"takes more than {bits} bits"
    elif isinstance(kind, types.Numeric) and isinstance(value, int | float | Decimal):
        if kind.precision is not None and abs(value) >= 10 ** (kind.precision - (kind.scale or 0)):
            return "range", f"has more digits than {kind}"
    elif isinstance(value, enum.Enum):
        return "type", f"is a member of {type(value).__name__}, and the column is {kind}"
    return None


def _values(row: Any) -> Iterator[tuple[Column[Any], Any]]:
    """Yield the columns of a row that have a value, with the value."""
    state = inspect(row)
    for attribute in state.mapper.column_attrs:
        value = state.dict.get(attribute.key)
        column = attribute.columns[0]
        if value is not None and isinstance(column, Column):
            yield column, value


def _table(column: Column[Any]) -> str | None:
    return column.table.name if isinstance(column.table, Table) else None


def _with_message(finding: Finding, message: str) -> Finding:
    return Finding(finding.kind, finding.table, finding.columns, finding.constraint, _cut(message))


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]


def _cut(text: str, longest: int = _LONGEST) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= longest else f"{flat[: longest - 1]}…"
