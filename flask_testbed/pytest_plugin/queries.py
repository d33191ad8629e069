"""How many statements a block sends to the database, and where each came from."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import sqlalchemy
from sqlalchemy import event
from sqlalchemy.engine import Engine

from ..application.routes import is_detour

#: A statement that is sent so often from one place is reported as repeated.
REPEATED = 2

_KINDS = ("stdlib", "platstdlib", "purelib", "platlib")
# SQLAlchemy may be in yet another folder of PYTHONPATH.
_FOLDERS = [*map(sysconfig.get_path, _KINDS)]
_FOLDERS += map(os.path.dirname, (os.path.dirname(__file__), sqlalchemy.__file__))
_LIBRARIES = tuple(f"{folder}{os.sep}" for folder in _FOLDERS)
_TRANSACTION = ("SAVEPOINT ", "RELEASE SAVEPOINT ", "ROLLBACK TO SAVEPOINT ")


@dataclass(frozen=True)
class Query:
    """One statement that was sent."""

    statement: str
    place: str
    """File and line of the application or of the test that caused it to be sent."""

    def __str__(self) -> str:
        return f"{self.place}: {' '.join(self.statement.split())}"


@dataclass
class Queries:
    """The statements of a block in the order in which they were sent, also while it runs."""

    sent: list[Query] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.sent)

    def __iter__(self) -> Iterator[Query]:
        return iter(self.sent)

    @property
    def repeated(self) -> list[tuple[Query, int]]:
        """The statements that were sent repeatedly from one place, with counts, largest first."""
        counts = Counter(self.sent).most_common()
        return [(query, count) for query, count in counts if count >= REPEATED]

    def report(self) -> str:
        """Return a list of all statements with their places, and of the repeated ones (N+1)."""
        lines = [f"{number:>4}. {query}" for number, query in enumerate(self.sent, 1)]
        for query, count in self.repeated:
            lines.append(f"N+1? {count} times the same from {query}")
        return "\n".join(lines)


@contextmanager
def recorded_queries() -> Iterator[Queries]:
    """Record the statements that any engine of the process sends in a block.

    A batch (``executemany``) is one statement. Statements that begin or end a transaction or a
    savepoint are not recorded: they depend on how the test is isolated.
    """
    queries = Queries()

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        # During the first connection the test database is created, in a detour.
        if not statement.startswith(_TRANSACTION) and not is_detour.get():
            queries.sent.append(Query(statement, _place()))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield queries
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@contextmanager
def assert_queries(exactly: int | None = None, *, at_most: int | None = None) -> Iterator[Queries]:
    """Assert how many statements a block sends.

    .. code-block:: python

        with assert_queries(at_most=3):
            client.get("/agents")

    :param exactly: the number of statements.
    :param at_most: the largest number of statements.
    :raises AssertionError: there were more or fewer. The message lists them with their places, and
        the repeated ones.
    :raises TypeError: neither or both numbers are given.
    """
    __tracebackhide__ = True
    if (exactly is None) == (at_most is None):
        raise TypeError("assert_queries() takes either a number or at_most=, and one of them")
    with recorded_queries() as queries:
        yield queries
    wanted = f"{exactly}" if exactly is not None else f"at most {at_most}"
    right = len(queries) == exactly if at_most is None else len(queries) <= at_most
    if not right:
        raise AssertionError(f"{len(queries)} queries, not {wanted}:\n{queries.report()}")


def _place() -> str:
    """Return file and line of the innermost frame that is not in a library or in the testbed."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        filename = frame.f_code.co_filename
        if not filename.startswith(_LIBRARIES) and not filename.startswith("<"):
            return f"{os.path.relpath(filename)}:{frame.f_lineno}"
        frame = frame.f_back
    return "?"
