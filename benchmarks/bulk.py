"""Rows a second: bulk creation beside factory_boy's own, the ORM, Core and bare COPY."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from benchmarks.measure import Timings, interleave, show
from factories import AgentExecutionFactory, AgentFactory
from flask_testbed.application.databases import database_of
from flask_testbed.application.target import target_of
from flask_testbed.randomness import reseed
from flask_testbed.sandbox.sandbox import Sandbox
from manage import create_app

Agent = AgentFactory._meta.model
ROUNDS = 3


class FlushedAgentFactory(AgentFactory):
    """Flushes, and leaves the transaction to the caller."""

    class Meta:
        registry = None
        sqlalchemy_session_persistence = "flush"


class PendingAgentFactory(AgentFactory):
    """Adds to the session, and does no more."""

    class Meta:
        registry = None
        sqlalchemy_session_persistence = None


@contextmanager
def database() -> Iterator[SQLAlchemy]:
    """The application on a database of its own, on the server for tests."""
    app: Flask = create_app({"TESTING": True})
    database = database_of(app)
    sandbox = Sandbox(database, target_of(database))
    sandbox.redirect(database)
    try:
        with app.app_context():
            db: SQLAlchemy = app.extensions["sqlalchemy"]
            yield db
            db.session.remove()
    finally:
        sandbox.close()


class Cases:
    """What is measured. Each case returns the seconds that count, and leaves the tables empty."""

    def __init__(self, db: SQLAlchemy, rows: int) -> None:
        self.db = db
        self.rows = rows
        self.sizes = {
            "create_batch, commit each row": rows // 500,
            "create_batch, one commit": rows // 200,
            "create_batch, flush": rows // 200,
            "create_batch, pending": rows // 100,
            "session.add_all of ready objects": rows // 10,
            "Core insert() of ready rows": rows // 5,
            "polyfactory batch, no database": rows // 100,
            "mimesis and COPY": rows // 10,
            "floor: COPY of ready rows": rows,
            "create_bulk": rows,
            "create_bulk, with a parent each": rows // 2,
        }

    def all(self) -> dict[str, Callable[[], float]]:
        """By name."""
        cases: dict[str, Callable[[int], float]] = {
            "create_batch, commit each row": self.committed,
            "create_batch, one commit": self.batch,
            "create_batch, flush": self.flushed,
            "create_batch, pending": self.pending,
            "session.add_all of ready objects": self.add_all,
            "Core insert() of ready rows": self.core,
            "floor: COPY of ready rows": self.floor,
            "create_bulk": self.bulk,
            "create_bulk, with a parent each": self.bulk_with_parent,
        }
        if find_spec("polyfactory"):
            cases["polyfactory batch, no database"] = self.polyfactory
        if find_spec("mimesis"):
            cases["mimesis and COPY"] = self.mimesis
        return {name: self._case(name, cases[name]) for name in self.sizes if name in cases}

    def _case(self, name: str, case: Callable[[int], float]) -> Callable[[], float]:
        def run() -> float:
            reseed(name)
            seconds = case(self.sizes[name])
            self.db.session.expunge_all()
            self.db.session.execute(sa.text(f"TRUNCATE {Agent.__tablename__} CASCADE"))
            self.db.session.commit()
            return seconds

        return run

    # factory_boy

    def committed(self, size: int) -> float:
        return timed(lambda: [AgentFactory.create() for _ in range(size)])

    def batch(self, size: int) -> float:
        return timed(lambda: AgentFactory.create_batch(size))

    def flushed(self, size: int) -> float:
        return timed(lambda: (FlushedAgentFactory.create_batch(size), self.db.session.commit()))

    def pending(self, size: int) -> float:
        return timed(lambda: (PendingAgentFactory.create_batch(size), self.db.session.commit()))

    # Ready rows

    def ready(self, size: int) -> list[dict[str, Any]]:
        """Rows as they are, for what does not generate any."""
        AgentFactory.create_bulk(size)
        rows = self.db.session.execute(sa.select(Agent.__table__)).mappings().all()
        self.db.session.execute(sa.text(f"TRUNCATE {Agent.__tablename__} CASCADE"))
        self.db.session.commit()
        return [dict(row) for row in rows]

    def add_all(self, size: int) -> float:
        objects = [Agent(**row) for row in self.ready(size)]
        return timed(lambda: (self.db.session.add_all(objects), self.db.session.commit()))

    def core(self, size: int) -> float:
        rows = self.ready(size)
        statement = sa.insert(Agent.__table__)
        return timed(lambda: (self.db.session.execute(statement, rows), self.db.session.commit()))

    def floor(self, size: int) -> float:
        rows = [tuple(row.values()) for row in prepared(self.ready(size))]
        return timed(lambda: self.copy(rows))

    def copy(self, rows: list[tuple[Any, ...]]) -> None:
        """Write rows as psycopg's documentation does, in binary."""
        names = ", ".join(column.name for column in Agent.__table__.columns)
        connection: Any = self.db.session.connection().connection.driver_connection
        with connection.cursor() as cursor:
            command = f"COPY {Agent.__tablename__} ({names}) FROM STDIN (FORMAT BINARY)"
            with cursor.copy(command) as copy:
                copy.set_types(TYPES)
                for row in rows:
                    copy.write_row(row)
        self.db.session.commit()

    # Other generators

    def polyfactory(self, size: int) -> float:
        from polyfactory.factories.sqlalchemy_factory import SQLAlchemyFactory

        made = SQLAlchemyFactory.create_factory(Agent, __set_relationships__=False)
        return timed(lambda: made.batch(size))

    def mimesis(self, size: int) -> float:
        from mimesis import Datetime, Numeric, Text

        text, numeric, moments = Text(), Numeric(), Datetime()

        def row(values: dict[str, Any]) -> dict[str, Any]:
            new = {
                "name": text.title()[:200],
                "description": text.sentence(),
                "confidence": numeric.float_number(0, 1),
                "created_at": moments.datetime().replace(tzinfo=UTC),
            }
            return {**values, **new}

        template = prepared(self.ready(size))
        return timed(lambda: self.copy([tuple(row(one).values()) for one in template]))

    # Bulk

    def bulk(self, size: int) -> float:
        return timed(lambda: AgentFactory.create_bulk(size))

    def bulk_with_parent(self, size: int) -> float:
        return timed(lambda: AgentExecutionFactory.create_bulk(size))


#: The types of the table's columns, in their order.
TYPES = [
    *("uuid", "varchar", "varchar", "varchar", "varchar", "varchar", "float8", "jsonb", "text"),
    *("varchar", "timestamptz"),
]


def prepared(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as psycopg takes them, without SQLAlchemy's types."""
    from psycopg.types.json import Jsonb

    return [
        {**row, "status": row["status"].value, "capabilities": Jsonb(row["capabilities"])}
        for row in rows
    ]


def timed(call: Callable[[], object]) -> float:
    """The seconds that a call takes."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def peak(rows: int) -> None:
    """Print the most memory, in MiB, of a process that makes so many rows."""
    with database():
        AgentFactory.create_bulk(rows)
    print(peak_of_this_process())


def peak_of_this_process() -> int:
    """The most memory, in MiB, that it has had."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    # On Linux, getrusage() also counts the process that has started this one.
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def peak_of_a_process(rows: int) -> int:
    """The same, of a new process."""
    code = f"from benchmarks.bulk import peak; peak({rows})"
    command = [sys.executable, "-c", code]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def table_of(cases: Cases, timings: dict[str, Timings]) -> list[list[str]]:
    """A line for each case: its rows a second, and that beside bulk creation's."""
    rates = {name: cases.sizes[name] / timing.median for name, timing in timings.items()}
    return [
        [name, f"{cases.sizes[name]:,}", f"{rate:,.0f}", f"{rates['create_bulk'] / rate:,.2f}"]
        for name, rate in rates.items()
    ]


@click.command("bulk")
@click.option("--rows", default=100_000, show_default=True, help="How many bulk creation makes.")
@click.option("--rounds", default=ROUNDS, show_default=True, help="How often, of which the median.")
@click.option("--memory/--no-memory", default=True, help="Also the memory for a million rows.")
def command(rows: int, rounds: int, memory: bool) -> None:
    """Rows a second of AgentRegistry, ten columns of Faker text and others, and of a child.

    \b
    Example:
      python -m benchmarks bulk --rows 20000 --no-memory
    """
    with database() as db:
        cases = Cases(db, rows)
        timings = interleave(cases.all(), rounds)
    headings = ["case", "rows", "rows/s", "create_bulk is … times as fast"]
    show(headings, table_of(cases, timings))
    for library in ("polyfactory", "mimesis"):
        if not find_spec(library):
            click.echo(f"{library} is not installed: pip install -r requirements-benchmarks.txt")
    if memory:
        click.echo()
        sizes = [10_000, 100_000, 1_000_000]
        show(["rows", "peak MiB"], [[f"{size:,}", str(peak_of_a_process(size))] for size in sizes])
