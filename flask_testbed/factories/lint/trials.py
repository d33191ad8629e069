"""Calls of factories in a transaction that is never committed."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection, Engine, event, inspect
from sqlalchemy.orm import ORMExecuteState, Session

from ..._compat import sequence_counter
from ...randomness import generator
from ..base import BaseFactory
from ..sessions import writing_to
from .findings import ConstraintCatalog, Finding

__all__ = ["FactoryCall", "Sampled", "Trials", "trials"]

#: Number of samples that are flushed at once.
CHUNK = 50

#: Number of failures after which a call is not repeated.
ENOUGH = 20


@dataclass(frozen=True)
class FactoryCall:
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
    """A session whose work is rolled back. It is mixed into the application's session class."""

    trial_connection: Connection
    #: Whether flushes are put off, so that many rows are flushed at once.
    hold = False

    def get_bind(self, *arguments: Any, **values: Any) -> Engine | Connection:
        """Return the connection of the trials, whichever bind a model belongs to."""
        return self.trial_connection

    def flush(self, objects: Any = None) -> None:
        """Write the pending rows, unless flushes are put off."""
        if not self.hold:
            super().flush(objects)


def _flush_before_query(execution: ORMExecuteState) -> None:
    """Flush although flushes are put off: a hook that queries must see the rows before."""
    session: Any = execution.session
    if session.hold and session.autoflush:
        session.hold = False
        try:
            session.flush()
        finally:
            session.hold = True


@contextlib.contextmanager
def trials(db: SQLAlchemy) -> Iterator[Trials]:
    """Let ``db.session`` write to a transaction that is rolled back at the end.

    Each transaction of the session is a savepoint, so that commits are rolled back, too. Needs an
    application context that nothing else uses.
    """
    with db.engine.connect() as connection:
        catalog = ConstraintCatalog(connection)
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
    session.trial_connection = connection
    event.listen(session, "do_orm_execute", _flush_before_query)
    return session


@dataclass
class Sampled:
    """The result of many calls of one factory."""

    made: int = 0
    calls: Counter[FactoryCall] = field(default_factory=Counter)
    found: dict[FactoryCall, Counter[Finding]] = field(default_factory=dict)

    at_once: bool = True
    """Whether many rows can be flushed at once, which takes a third of the time."""

    def add(self, call: FactoryCall, finding: Finding) -> None:
        """Count a finding. Of equal findings, the first is kept as the example."""
        self.found.setdefault(call, Counter())[finding] += 1

    def failures(self, call: FactoryCall) -> int:
        """Return how many times a call has failed."""
        return self.found.get(call, Counter()).total()


@dataclass
class Trials:
    """Calls factories, and undoes what they write."""

    session: _TrialSession
    catalog: ConstraintCatalog

    filled: dict[type, set[str]] = field(default_factory=dict)
    """The attributes that factories have set, by model."""

    _rows: list[Any] = field(default_factory=list)
    """The rows of the last flush, to explain its error with."""

    def __post_init__(self) -> None:
        event.listen(self.session, "before_flush", self._remember)

    def attempt(self, call: FactoryCall) -> Finding | None:
        """Make a call and undo it. Return why it failed, or ``None`` if it did not."""
        self._rows.clear()
        try:
            self._make(call)
        # A factory runs code of the application, which may raise any exception.
        except Exception as error:
            return self.catalog.explain(error, self._rows)
        finally:
            self.session.rollback()
            self.session.expunge_all()
        return None

    def sample(
        self, calls: list[FactoryCall], samples: int, progress: Callable[[int], object]
    ) -> Sampled:
        """Make many calls, in turn. All rows stay until the end, so that equal ones collide.

        :param samples: the number of calls in all.
        :param progress: called with the number of calls since its last call.
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

    def _sample_chunk(self, chunk: list[FactoryCall], sampled: Sampled) -> None:
        """Flush many rows at once; if that fails, make the same rows one by one."""
        sampled.made += len(chunk)
        sampled.calls.update(chunk)
        state = _RandomState()
        if sampled.at_once and self._keep(chunk, at_once=True) is None:
            return
        state.restore()
        found = [(call, self._keep([call])) for call in chunk]
        for call, finding in found:
            if finding is not None:
                sampled.add(call, finding)
        # If none fails now, the factory needs the keys of its rows before the chunk is flushed.
        sampled.at_once = sampled.at_once and any(finding for _, finding in found)

    def _keep(self, calls: list[FactoryCall], *, at_once: bool = False) -> Finding | None:
        """Make calls whose rows stay, unless one of them fails. Return why it failed."""
        self._rows.clear()
        savepoint = self.session.begin_nested()
        try:
            self._make(*calls, at_once=at_once)
        except Exception as error:
            finding = self.catalog.explain(error, self._rows)
            # A hook may have ended the savepoint.
            if self.session.get_nested_transaction() is savepoint:
                savepoint.rollback()
            return finding
        else:
            if self.session.get_nested_transaction() is savepoint:
                savepoint.commit()
        finally:
            self.session.expunge_all()
        return None

    def _make(self, *calls: FactoryCall, at_once: bool = False) -> None:
        self.session.hold = at_once
        try:
            with writing_to(self.session):
                for call in calls:
                    call()
        finally:
            self.session.hold = False
        self.session.flush()
        self.catalog.check_deferred(self.session.connection())

    def _remember(self, session: Session, *_: Any) -> None:
        self._rows[:] = [*session.new, *session.dirty]
        for row in session.new:
            state = inspect(row)
            known = self.filled.setdefault(state.mapper.class_, set())
            known.update(key for key, value in state.dict.items() if value is not None)


class _RandomState:
    """The state of all random generators and of the factories' sequences, to restore it."""

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
    """Yield the counter of a factory, and those of the factories that inherit from it."""
    counter = sequence_counter(factory)
    if counter is not None:
        yield counter
    for descendant in factory.__subclasses__():
        yield from _counters(descendant)
