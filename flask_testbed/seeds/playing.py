"""Plays a scenario in one transaction: either all of its rows are written, or none."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from random import Random

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from ..errors import SeedError
from ..factories.sessions import writing_to
from ..randomness import frozen, reseed
from .database import check_reset, reachable
from .scenarios import Scenario
from .seed import Progress, Seed
from .tables import analyze, count, prepare, tables_of


@dataclass(frozen=True)
class SeedReport:
    """What a scenario has written, or in a dry run would have."""

    scenario: str
    rows: dict[str, int]
    """The number of rows, by table."""

    speeds: dict[str, float]
    """Rows per second, by table, for those whose rows the methods of `Seed` have made."""

    seconds: float
    scale: int
    random_seed: int | str
    as_of: date
    dry_run: bool

    @property
    def total(self) -> int:
        """The number of all rows."""
        return sum(self.rows.values())

    @property
    def rows_per_second(self) -> float:
        """The speed of the whole, including the preparation."""
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
    """Play a scenario in one transaction: after any error, nothing is written.

    The same ``random_seed``, ``as_of`` and ``scale`` give the same rows on any day. Keys from the
    database start over; this is undone, too, if the transaction is rolled back.

    :param scale: a factor of the usual amount of data, 1 or more.
    :param as_of: the day that the data describes, until midnight (UTC) at its beginning; today by
        default.
    :param reset: empty every table of ``db.metadata`` first, in the same transaction.
    :param dry_run: roll back at the end.
    :param progress: shows the progress of the scenario.
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
    with app.app_context(), reachable(db), frozen(moment):
        session = db.session()
        tables = tables_of(db, scenario)
        with _one_transaction(session, dry_run):
            prepare(session, db, tables, reset)
            reseed(f"{scenario.name}/{random_seed}")
            chance = Random(f"{scenario.name}/{random_seed}")
            seed = Seed(session, chance, moment, scale, progress)
            with writing_to(session):
                scenario.function(seed)
                seed.flush()
            session.flush()
            rows = {table.name: count(session, table) for table in tables}
            speeds = {name: rows.get(name, 0) / spent for name, spent in seed.seconds.items()}
            if not dry_run:
                analyze(session, tables)
    seconds = time.perf_counter() - begun
    return SeedReport(scenario.name, rows, speeds, seconds, scale, random_seed, day, dry_run)


@contextlib.contextmanager
def _one_transaction(session: Session, dry_run: bool) -> Iterator[None]:
    """Commit what is written inside the ``with`` block, or roll it back in a dry run.

    After an exception, nothing is committed: the application context was pushed for this scenario
    alone, and its session ends with it.
    """
    session.connection()
    transaction = session.get_transaction()
    event.listen(session, "before_commit", _refuse_commit)
    yield
    # Constraints that are deferred are checked in a dry run as well.
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
    # SQLAlchemy emits the event for savepoints, too.
    if not session.in_nested_transaction():
        raise SeedError(
            "The scenario committed, but all of it is one transaction: leave `commit()` out, and"
            " do not call what commits. Nothing was written."
        )
