"""Playing a scenario: all of its rows, in one transaction, or none."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from random import Random
from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL, FromClause, Table, event, func, inspect, select, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session, class_mapper

from ..application.databases import database_of
from ..application.target import is_production
from ..errors import NotEmptyError, RefusedError, SeedError
from ..factories.base import writing_to
from ..postgres.connecting import without_secrets
from ..postgres.labels import Mark
from ..randomness import frozen, reseed
from .scenarios import Scenario
from .seed import Progress, Seed, count

#: Better an error than to wait for whoever has one of the tables open.
LOCK_TIMEOUT_MS = 5000


@dataclass(frozen=True)
class SeedReport:
    """What a play has written, or would have."""

    scenario: str
    rows: dict[str, int]
    """By table."""

    speeds: dict[str, float]
    """Rows a second, of the tables whose rows the methods of `Seed` have made."""

    seconds: float
    scale: int
    random_seed: int | str
    as_of: date
    dry_run: bool

    @property
    def total(self) -> int:
        """All rows together."""
        return sum(self.rows.values())

    @property
    def rows_per_second(self) -> float:
        """How fast it was, the preparation included."""
        return self.total / self.seconds


def play(
    app: Flask,
    db: SQLAlchemy,
    scenario: Scenario,
    *,
    scale: int = 1,
    random_seed: int | str = 0,
    as_of: date | None = None,
    reset: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> SeedReport:
    """Play a scenario in one transaction: all of it is written, or, after any error, nothing.

    The same ``random_seed``, ``as_of`` and ``scale`` give the same rows, on any day. Keys that
    the database counts begin anew, which is undone, too, if the transaction is.

    :param scale: how many times the usual amount, 1 or more.
    :param as_of: the day that the data describes, which ends with the day before; today in UTC
        by default.
    :param reset: empty every table of ``db.metadata`` first, in the same transaction.
    :param dry_run: roll back at the end.
    :param progress: shows how far it is.
    :raises RefusedError: ``reset`` in production.
    :raises NotEmptyError: a table that the scenario fills holds rows.
    :raises SeedError: the database cannot be reached or lacks a table; the scenario ends the
        transaction.
    """
    if scale < 1:
        raise SeedError(f"The scale must be 1 or more, not {scale}.")
    if reset:
        check_reset(app)
    begun = time.perf_counter()
    day = as_of or datetime.now(UTC).date()
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
    with app.app_context(), _reachable(db), frozen(moment):
        session = db.session()
        tables = _tables(db, scenario)
        with _one_transaction(session, dry_run):
            _prepare(session, db, tables, reset)
            reseed(f"{scenario.name}/{random_seed}")
            chance = Random(f"{scenario.name}/{random_seed}")
            seed = Seed(session, chance, moment, scale, progress)
            with writing_to(session):
                scenario.function(seed)
                seed.flush()
            session.flush()
            rows = {table.name: count(session, table) for table in tables}
            speeds = {name: rows.get(name, 0) / spent for name, spent in seed._seconds.items()}
            if not dry_run:
                _analyze(session, tables)
    seconds = time.perf_counter() - begun
    return SeedReport(scenario.name, rows, speeds, seconds, scale, random_seed, day, dry_run)


def check_reset(app: Flask) -> None:
    """Refuse to empty tables in production.

    :raises RefusedError: the application runs in production configuration.
    """
    if is_production(app):
        raise RefusedError(
            "Refused: the application runs in production configuration, where no table is"
            " emptied. Leave out --reset, or run this with APP_ENV=development."
        )


def reach(db: SQLAlchemy) -> URL:
    """Connect to the application's database, and say where that is.

    :raises SeedError: it cannot be reached.
    """
    with _reachable(db), db.engine.connect():
        # Not before: what leads the engine elsewhere does so when it connects.
        return db.engine.url


def is_marked(db: SQLAlchemy) -> bool:
    """Whether the application's database bears the engine's mark, and is this role's own.

    Whoever may make databases can write such a mark on one of theirs.
    """
    comment = text(
        "SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database"
        " WHERE datname = pg_catalog.current_database()"
        " AND pg_catalog.pg_get_userbyid(datdba) = current_user"
    )
    with _reachable(db), db.engine.connect() as connection:
        return Mark.read(connection.scalar(comment)) is not None


@contextlib.contextmanager
def leading_to(app: Flask, url: URL | None) -> Iterator[None]:
    """Inside, the application's database is another one; its own if ``url`` is None."""
    if url is None:
        yield
        return
    with database_of(app).route.detour(url):
        yield


@contextlib.contextmanager
def _reachable(db: SQLAlchemy) -> Iterator[None]:
    """Say in one sentence that the database is down, or that a lock could not be had."""
    try:
        yield
    except OperationalError as error:
        where = without_secrets(db.engine.url)
        raise SeedError(f"Nothing was written to {where}: {_reason(error)}") from error


def _reason(error: DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0]


@contextlib.contextmanager
def _one_transaction(session: Session, dry_run: bool) -> Iterator[None]:
    """Keep all that is done inside, or nothing.

    After an exception, the transaction ends with the application context, which was pushed for
    this play alone and takes its session with it.
    """
    session.connection()
    transaction = session.get_transaction()
    event.listen(session, "before_commit", _refuse_commit)
    yield
    # Some constraints wait for the commit, which a dry run never comes to.
    session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    if session.get_transaction() is not transaction:
        raise SeedError(
            "The scenario rolled the session back, and what it had written before is lost."
            " Undo a part with `seed.session.begin_nested()`. Nothing was written."
        )
    event.remove(session, "before_commit", _refuse_commit)
    if dry_run:
        session.rollback()
    else:
        session.commit()


def _refuse_commit(session: Session) -> None:
    # The event is also that of a savepoint which is released.
    if not session.in_nested_transaction():
        raise SeedError(
            "The scenario committed, but all of it is one transaction: leave `commit()` out, and"
            " do not call what commits. Nothing was written."
        )


def _tables(db: SQLAlchemy, scenario: Scenario) -> list[Table]:
    """What the scenario fills, parents first."""
    filled: set[FromClause] = {class_mapper(model).local_table for model in scenario.fills}
    return [table for table in db.metadata.sorted_tables if not filled or table in filled]


def _prepare(session: Session, db: SQLAlchemy, tables: list[Table], reset: bool) -> None:
    """Leave every table empty and every counter at its start, or refuse."""
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
        raise SeedError(f"Nothing was written: {_reason(error)}") from error


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


def _analyze(session: Session, tables: Iterable[Table]) -> None:
    """Let the server know how much there is now, which it would find out in a minute or so."""
    names = ", ".join(_quoted(session, table) for table in tables)
    session.execute(text(f"ANALYZE {names}"))


def _restart_counters(session: Session, tables: Iterable[Table]) -> None:
    """Restart the identity of each empty table, so that its keys are the same each time.

    ``ALTER SEQUENCE`` is undone with the transaction, which ``setval`` is not
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
