"""The transaction of a test, and the one connection to the server that all its connections share.

What is sent to the server, and when, says :mod:`.savepoints`. This module sends it, lets threads
wait for each other, and notices when the connection is lost. It knows no driver: an
:class:`UnderlyingConnection` is what a driver has to offer.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

from ...clock import seconds
from ..statements import Effects
from .catalog import Catalog
from .refusal import refusal
from .savepoints import ApplicationTransaction, RoundTrips, Savepoints, State

logger = logging.getLogger(__name__)

#: Seconds that a thread waits for the transaction of another, before it is an error.
PATIENCE = 5.0

#: Seconds that a thread which still runs a statement gets when its test has ended.
GRACE = 1.0

# A rollback does not release the locks of the session.
_ROLLBACK = [
    "ROLLBACK",
    "SELECT pg_advisory_unlock_all()",
    "SELECT pg_snapshot_xmax(pg_current_snapshot())",
]


class UnderlyingConnection(Protocol):
    """A connection to the server, in autocommit mode, as a driver makes it."""

    error: type[Exception]
    """Base class of the errors that the driver raises."""

    @property
    def closed(self) -> bool:
        """Whether it was closed or has been lost."""

    @property
    def in_error(self) -> bool:
        """Whether the server waits for a rollback."""

    @property
    def busy(self) -> bool:
        """Whether a COPY is in progress."""

    def send(self, commands: list[str]) -> str | None:
        """Send commands in one round trip, and return the first value of the last result."""

    def query(self, statement: str) -> list[Any]:
        """Return the rows of a query."""

    def forget_prepared(self) -> None:
        """Forget the statements that the driver has prepared: the schema has changed."""

    def cancel(self) -> None:
        """Cancel the statement that a thread waits for."""

    def close(self) -> None:
        """Disconnect."""


Underlying = TypeVar("Underlying", bound=UnderlyingConnection)


class TestTransaction(Generic[Underlying]):
    """A transaction for each test in turn, which is never committed.

    :param connect: makes the underlying connection.
    """

    __test__ = False  # it is not a test of pytest's

    def __init__(self, connect: Callable[[], Underlying]) -> None:
        self._connect = connect
        self._underlying: Underlying | None = None
        self._savepoints = Savepoints()
        # Whether the schema was changed in this test.
        self._changed_schema = False
        # Whether a rollback leaves something on the connection that the next test must not meet.
        self._used_up = False
        self._pid = os.getpid()
        #: Held while a statement is prepared and sent.
        self.lock = threading.RLock()
        self._ended = threading.Condition(self.lock)

    def __repr__(self) -> str:
        return f"<TestTransaction {self._savepoints!r}>"

    # The connection

    @property
    def underlying(self) -> Underlying:
        """The connection to the server, made at first use, even if it has been lost since."""
        if self._underlying is None:
            self.check()
            self._underlying = self._connect()
            self._savepoints.catalog = Catalog.read(self._underlying.query)
            logger.debug("connected for tests in rollback mode")
        return self._underlying

    def check(self) -> None:
        """Refuse to go on if the test transaction is lost.

        :raises IsolationError: it is, or this is a forked process.
        """
        if os.getpid() != self._pid:
            raise refusal("A forked process uses the database connection of its parent's test.")
        if self._underlying is not None and self._underlying.closed:
            if not self._savepoints.begun:
                self._underlying = None
                return
            self._savepoints.lost = self._savepoints.lost or (
                "The connection of this test was ended, and with it all it has written."
            )
        if self._savepoints.lost:
            raise refusal(self._savepoints.lost)

    @property
    def _is_whole(self) -> bool:
        if self._savepoints.lost or os.getpid() != self._pid:
            return False
        return self._underlying is not None and not self._underlying.closed

    def _perform(self, round_trips: RoundTrips) -> None:
        """Send what savepoints say, and tell them what the server answers."""
        try:
            commands = next(round_trips)
            while True:
                commands = self._answer(round_trips, commands)
        except StopIteration:
            pass

    def _answer(self, round_trips: RoundTrips, commands: list[str]) -> list[str]:
        underlying = self.underlying
        if underlying.busy:
            raise refusal("Two connections are used at the same time, one in the midst of a COPY.")
        try:
            answer = underlying.send(commands)
        except underlying.error as error:
            return round_trips.throw(error)
        return round_trips.send(answer)

    def _report(self) -> None:
        self._savepoints.report(in_error=self.underlying.in_error)

    # Application transactions

    def begin(self, *, automatic: bool, read_only: bool) -> ApplicationTransaction:
        """Return a transaction that has sent nothing yet.

        :param automatic: whether it ends with its first statement (autocommit).
        """
        return self._savepoints.begin(automatic=automatic, read_only=read_only)

    def prepare(
        self,
        transaction: ApplicationTransaction,
        effects: Effects,
        mentioned: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        """Prepare the server for a statement of a transaction. The lock must be held.

        :param mentioned: returns names in the statement that may be those of settings.
        :raises IsolationError: the statement cannot be played inside of a savepoint.
        :raises TransactionAborted: the transaction has to be rolled back first.
        """
        self.check()
        self._report()
        waits = transaction.state in (State.NEW, State.READER)
        if waits and self._savepoints.catalog.writes(effects):
            self._wait_for_others(transaction)
        self._perform(self._savepoints.speak(transaction, effects, mentioned))
        self._changed_schema |= effects.defines
        self._used_up |= effects.defines or effects.lasting

    def finish_statement(self, transaction: ApplicationTransaction) -> None:
        """Roll a transaction back that was a statement alone, if that has failed."""
        if transaction.automatic and self._is_whole:
            self._report()
            if transaction.state is State.FAILED:
                self._perform(self._savepoints.settle())

    def _wait_for_others(self, transaction: ApplicationTransaction) -> None:
        """Wait until no other thread has an open transaction that has written."""
        end = seconds() + PATIENCE
        while other := self._writer_besides(transaction):
            left = end - seconds()
            if left <= 0:
                raise refusal(
                    f"The thread {transaction.thread.name!r} has waited {PATIENCE:g} s to write:"
                    f" the thread {other.thread.name!r} has an open transaction that has written."
                )
            self._ended.wait(left)
            self.check()
            self._report()

    def _writer_besides(self, transaction: ApplicationTransaction) -> ApplicationTransaction | None:
        self._perform(self._savepoints.settle())
        return next(self._savepoints.writers_of_other_threads(transaction.thread), None)

    def end(self, transaction: ApplicationTransaction | None, *, commit: bool) -> None:
        """End a transaction, and a statement before that was a transaction of its own.

        :param transaction: ``None`` if it has not begun.
        :raises Exception: an error of the driver: a deferred constraint is violated. The
            transaction is rolled back.
        :raises IsolationError: a transaction that has written later is still open.
        """
        try:
            if commit or self._is_whole:
                self._settle()
                if transaction is not None:
                    self._end(transaction, commit)
            elif transaction is not None:
                self._savepoints.abandon(transaction)
        finally:
            self._ended.notify_all()

    def _settle(self) -> None:
        if self._is_whole:
            self._report()
            self._perform(self._savepoints.settle())

    def _end(self, transaction: ApplicationTransaction, commit: bool) -> None:
        if transaction.savepoint:
            self.check()
        if not commit:
            self._perform(self._savepoints.roll_back(transaction))
            if self._changed_schema:
                self.underlying.forget_prepared()
            return
        if self._changed_schema and transaction.state is State.WRITER:
            # Its own new constraints are checked, too.
            self._savepoints.catalog = Catalog.read(self.underlying.query)
        self._perform(self._savepoints.commit(transaction))

    # The end of the test

    @property
    def begun(self) -> bool:
        """Whether a test has sent a statement that has not been rolled back yet."""
        return self._savepoints.begun

    @contextmanager
    def looked_into(self) -> Iterator[Underlying]:
        """Lend the underlying connection, which sees what the test has written."""
        with self._interrupting():
            self._report()
            self._perform(self._savepoints.looked_into())
            yield self.underlying

    def roll_back_all(self) -> int | None:
        """Roll back everything that the test has done, and be ready for the next test.

        :returns: the first transaction id of the server that is later than the test; ``None`` if
            the test has sent nothing.
        :raises IsolationError: a thread still has an open transaction that has written.
        """
        if os.getpid() != self._pid:
            return None
        with self._interrupting():
            self._ended.wait_for(lambda: not self._left(), GRACE)
            left = self._left()
            end = self._roll_back()
        if left:
            raise refusal(
                f"The thread {left[0].thread.name!r} still has an open transaction at the end of"
                " its test: join it."
            )
        return end

    def _left(self) -> list[ApplicationTransaction]:
        """Return those that have written and belong to a thread that still runs."""
        others = self._savepoints.writers_of_other_threads(threading.current_thread())
        return [other for other in others if other.thread.is_alive()]

    @contextmanager
    def _interrupting(self) -> Iterator[None]:
        """Hold the lock. A statement that another thread still runs is cancelled."""
        if not self.lock.acquire(timeout=GRACE):
            if self._underlying is not None:
                self._underlying.cancel()
            if not self.lock.acquire(timeout=GRACE):
                raise refusal("A statement still runs in a thread at the end of its test.")
        try:
            yield
        finally:
            self.lock.release()

    def _roll_back(self) -> int | None:
        underlying, begun = self._underlying, self._savepoints.begun
        used_up, self._used_up, self._changed_schema = self._used_up, False, False
        self._savepoints.reset()
        self._ended.notify_all()
        if underlying is None or underlying.closed or not begun:
            return None
        try:
            end = int(underlying.send(_ROLLBACK) or 0)
        except underlying.error:
            end = 0  # the connection is lost, and so is what the test has done
        if used_up:
            # What the server has prepared, and what is known of its catalog, may be outdated.
            self.close()
        return end

    def close(self) -> None:
        """Disconnect from the server, if this process has connected."""
        if self._underlying is not None and os.getpid() == self._pid:
            self._underlying.close()
        self._underlying = None
