"""Calling factories in a transaction that is never committed, once and a thousand times."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection, Engine, event, inspect
from sqlalchemy.orm import Session

from ...randomness import generator
from ..base import BaseFactory
from ..sessions import writing_to
from .findings import Catalog, Finding

__all__ = ["Call", "Trials", "trials"]

#: Samples that are flushed at once.
CHUNK = 50

#: A variant that has failed so often is not called again: what is wrong with it is known.
ENOUGH = 20


@dataclass(frozen=True)
class Call:
    """One way of calling a factory."""

    factory: type[BaseFactory[Any]]
    strategy: str
    """``build``, ``create`` or ``create_batch``."""

    trait: str | None = None

    def __call__(self) -> Any:
        values = {self.trait: True} if self.trait else {}
        size = [2] if self.strategy == "create_batch" else []
        return getattr(self.factory, self.strategy)(*size, **values)

    def __str__(self) -> str:
        size = ["2"] if self.strategy == "create_batch" else []
        trait = [f"{self.trait}=True"] if self.trait else []
        return f"{self.strategy}({', '.join(size + trait)})"


class _TrialSession(Session):
    """A session of the application's own kind, all of whose work is undone in the end."""

    connection_of_trials: Connection
    #: Whether to leave rows pending until there are many of them.
    hold = False

    def get_bind(self, *arguments: Any, **values: Any) -> Engine | Connection:
        # Whatever bind a model belongs to: nothing is written elsewhere.
        return self.connection_of_trials

    def flush(self, objects: Any = None) -> None:
        if not self.hold:
            super().flush(objects)

    def _autoflush(self) -> None:
        # A hook that queries must see the rows that were made before.
        held, self.hold = self.hold, False
        try:
            super()._autoflush()
        finally:
            self.hold = held


@contextlib.contextmanager
def trials(db: SQLAlchemy) -> Iterator[Trials]:
    """Inside, ``db.session`` writes to a transaction that is rolled back in the end.

    Also what commits meanwhile is undone: each transaction of the session is a savepoint. Needs an
    application context of its own.
    """
    with db.engine.connect() as connection:
        catalog = Catalog(connection)
        connection.rollback()
        with contextlib.closing(_session(db, connection)) as session:
            transaction = connection.begin()
            registry: Any = db.session.registry
            registry.set(session)
            try:
                yield Trials(session, catalog)
            finally:
                session.close()
                transaction.rollback()
                db.session.remove()


def _session(db: SQLAlchemy, connection: Connection) -> _TrialSession:
    maker: Any = db.session.session_factory
    kind: Any = type("TrialSession", (_TrialSession, maker.class_), {})
    values = {**maker.kw, "bind": connection, "join_transaction_mode": "create_savepoint"}
    session: _TrialSession = kind(**values)
    session.connection_of_trials = connection
    return session


@dataclass
class Sampled:
    """What many calls of one factory have shown."""

    made: int = 0
    calls: Counter[Call] = field(default_factory=Counter)
    found: dict[Call, Counter[Finding]] = field(default_factory=dict)

    #: Whether rows can be flushed many at a time, which takes a third of the time.
    at_once: bool = True

    def add(self, call: Call, finding: Finding) -> None:
        """Count a finding. Only the first of those that are alike is kept as an example."""
        self.found.setdefault(call, Counter())[finding] += 1

    def failures(self, call: Call) -> int:
        """How many calls have failed."""
        return self.found.get(call, Counter()).total()


@dataclass
class Trials:
    """Calls of factories, each of which is undone."""

    session: _TrialSession
    catalog: Catalog

    filled: dict[type, set[str]] = field(default_factory=dict)
    """The attributes that factories gave a value, by model."""

    _rows: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        event.listen(self.session, "before_flush", self._note)

    def attempt(self, call: Call) -> Finding | None:
        """Make a call, and undo it; ``None`` if nothing is wrong with it."""
        self._rows.clear()
        try:
            self._make(call)
        # A factory runs code of the application's own, which may raise whatever it likes.
        except Exception as error:
            return self.catalog.explain(error, self._rows)
        finally:
            self.session.rollback()
            self.session.expunge_all()
        return None

    def sample(self, calls: list[Call], samples: int, progress: Callable[[int], object]) -> Sampled:
        """Make many calls, in turn; all rows stay until the end, so that they may collide.

        :param samples: how many in all.
        :param progress: is told how many more are done.
        """
        sampled = Sampled()
        remaining = list(calls)
        while remaining and sampled.made < samples:
            size = min(CHUNK, samples - sampled.made)
            chunk = [remaining[(sampled.made + i) % len(remaining)] for i in range(size)]
            self._sample_chunk(chunk, sampled)
            remaining = [call for call in remaining if sampled.failures(call) < ENOUGH]
            progress(size)
        progress(samples - sampled.made)
        self.session.rollback()
        self.session.expunge_all()
        return sampled

    def _sample_chunk(self, chunk: list[Call], sampled: Sampled) -> None:
        """Flush many rows at once; if that fails, make the very same ones one by one."""
        sampled.made += len(chunk)
        sampled.calls.update(chunk)
        before = _Chance()
        if sampled.at_once and self._keep(chunk, at_once=True) is None:
            return
        before.restore()
        found = [(call, self._keep([call])) for call in chunk]
        for call, finding in found:
            if finding is not None:
                sampled.add(call, finding)
        # If none of them fails, they want their keys, or those of others, when they are made.
        sampled.at_once = sampled.at_once and any(finding for _, finding in found)

    def _keep(self, calls: list[Call], *, at_once: bool = False) -> Finding | None:
        """Make rows that stay; undo all of them if one fails."""
        self._rows.clear()
        savepoint = self.session.begin_nested()
        try:
            self._make(*calls, at_once=at_once)
        except Exception as error:
            finding = self.catalog.explain(error, self._rows)
            # A hook may have ended it already.
            if self.session.get_nested_transaction() is savepoint:
                savepoint.rollback()
            return finding
        else:
            if self.session.get_nested_transaction() is savepoint:
                savepoint.commit()
        finally:
            self.session.expunge_all()
        return None

    def _make(self, *calls: Call, at_once: bool = False) -> None:
        self.session.hold = at_once
        try:
            with writing_to(self.session):
                for call in calls:
                    call()
        finally:
            self.session.hold = False
        self.session.flush()
        self.catalog.check_deferred(self.session.connection())

    def _note(self, session: Session, *_: Any) -> None:
        self._rows[:] = [*session.new, *session.dirty]
        for row in session.new:
            state = inspect(row)
            known = self.filled.setdefault(state.mapper.class_, set())
            known.update(key for key, value in state.dict.items() if value is not None)


class _Chance:
    """Where every generator and every counter stands, to come back to it."""

    def __init__(self) -> None:
        from factory.random import randgen
        from faker.generator import random as of_faker

        generators = [generator(), randgen, of_faker, random]
        self._states = [(one, one.getstate()) for one in generators]
        self._counters = [(counter, counter.seq) for counter in _counters(BaseFactory)]

    def restore(self) -> None:
        for one, state in self._states:
            one.setstate(state)
        for counter, number in self._counters:
            counter.seq = number


def _counters(factory: type[BaseFactory[Any]]) -> Iterator[Any]:
    if factory._meta._counter is not None:
        yield factory._meta._counter
    for descendant in factory.__subclasses__():
        yield from _counters(descendant)
