"""The tables of a scenario: they are empty before it, and their counters at their start."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import FromClause, Table, func, inspect, select, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session, class_mapper

from ..errors import NotEmptyError, SeedError
from .database import reason_of
from .scenarios import Scenario

#: A statement fails rather than wait longer than this for a lock.
LOCK_TIMEOUT_MS = 5000


def tables_of(db: SQLAlchemy, scenario: Scenario) -> list[Table]:
    """Return the tables that a scenario fills, parents first."""
    filled: set[FromClause] = {class_mapper(model).local_table for model in scenario.fills}
    return [table for table in db.metadata.sorted_tables if not filled or table in filled]


def prepare(session: Session, db: SQLAlchemy, tables: list[Table], reset: bool) -> None:
    """Make sure that every table is empty and every counter at its start.

    :param reset: truncate all tables of ``db.metadata``, and not only check that they are empty.
    :raises NotEmptyError: a table holds rows.
    :raises SeedError: a table is missing, or a lock is not granted in time.
    """
    everything = db.metadata.sorted_tables
    _expect_tables(session, everything if reset else tables)
    session.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}"))
    try:
        if reset:
            names = ", ".join(_quoted(session, table) for table in everything)
            session.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
        else:
            _expect_empty(session, tables)
            _restart_counters(session, tables)
    except OperationalError:
        raise
    except DBAPIError as error:
        raise SeedError(f"Nothing was written: {reason_of(error)}") from error


def _expect_tables(session: Session, tables: Iterable[Table]) -> None:
    existing = inspect(session.connection())
    missing = [table.name for table in tables if not existing.has_table(table.name, table.schema)]
    if missing:
        more = f", nor {len(missing) - 1} others" if len(missing) > 1 else ""
        raise SeedError(
            f"The database {_database(session)!r} has no table {missing[0]!r}{more}."
            " Bring its schema up to date: flask db upgrade"
        )


def _expect_empty(session: Session, tables: Iterable[Table]) -> None:
    full = [table for table in tables if session.scalar(select(_any_row(table)))]
    if full:
        more = f", and {len(full) - 1} other tables are not empty either" if full[1:] else ""
        raise NotEmptyError(
            f"The table {full[0].name!r} of the database {_database(session)!r} already holds"
            f" {count(session, full[0]):,} rows{more}. To replace what is in the application's"
            " tables, add --reset; to keep it, --if-empty."
        )


def _any_row(table: Table) -> Any:
    return select(text("1")).select_from(table).exists()


def analyze(session: Session, tables: Iterable[Table]) -> None:
    """Update the statistics of the planner, as autovacuum would after a minute or so."""
    names = ", ".join(_quoted(session, table) for table in tables)
    session.execute(text(f"ANALYZE {names}"))


def _restart_counters(session: Session, tables: Iterable[Table]) -> None:
    """Restart the sequence of each table's key, so that its keys are the same each time.

    ``ALTER SEQUENCE`` is rolled back with the transaction; ``setval`` is not
    (https://www.postgresql.org/docs/current/sql-altersequence.html).
    """
    for table in tables:
        column = table.autoincrement_column
        if column is None:
            continue
        name = func.pg_get_serial_sequence(_quoted(session, table), column.name)
        sequence = session.scalar(select(name))
        if sequence is not None:
            session.execute(text(f"ALTER SEQUENCE {sequence} RESTART"))


def _quoted(session: Session, table: Table) -> str:
    return session.connection().dialect.identifier_preparer.format_table(table)


def _database(session: Session) -> str:
    return str(session.scalar(select(func.current_database())))


def count(session: Session, table: Table) -> int:
    """Return the number of rows of a table."""
    return session.scalar(select(func.count()).select_from(table)) or 0
