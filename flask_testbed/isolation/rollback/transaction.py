"""One transaction for a whole test, and in it, as savepoints, those of the application.

Savepoints end last-in-first-out; the transactions of several connections need not. What has
written nothing holds no place in that order: its savepoint is set anew when it is needed, and one
that was given up while nothing had happened since serves the next (a spare one). Only two that
have both written must end in order.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors, pq

from ..statements import Effects
from .catalog import Surroundings
from .inner import InnerTransaction
from .refusal import refusal

#: Seconds that a thread waits for the transaction of another, before it is an error.
PATIENCE = 5.0

#: Seconds that a thread which is still at work gets when its test has ended.
GRACE = 1.0

_IN_ERROR = pq.TransactionStatus.INERROR
_ACTIVE = pq.TransactionStatus.ACTIVE

# Locks of the session are not undone with the transaction.
_ROLLBACK = b"""
ROLLBACK; SELECT pg_advisory_unlock_all(); SELECT pg_snapshot_xmax(pg_current_snapshot())
"""


class OuterTransaction:
    """The transaction of a test, on the one connection that there is meanwhile.

    :param connect: makes that connection, in autocommit mode.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        self._connect = connect
        self._connection: psycopg.Connection[Any] | None = None
        self._stack: list[InnerTransaction] = []
        self._open: set[InnerTransaction] = set()
        self._last: InnerTransaction | None = None
        self._spare = ""
        self._count = 0
        self._begun = False
        self._changed_schema = False
        self._worn = False
        self._lost = ""
        self._around = Surroundings()
        self._pid = os.getpid()
        self.lock = threading.RLock()
        self._free = threading.Condition(self.lock)

    @property
    def connection(self) -> psycopg.Connection[Any]:
        """The connection, made at first use.

        :raises IsolationError: it was lost, or this is a forked process.
        """
        self.check()
        if self._connection is None:
            self._connection = self._connect()
            self._around = Surroundings.of(self._connection)
        return self._connection

    @property
    def shared(self) -> psycopg.Connection[Any]:
        """The connection as it is, be it lost or not."""
        return self._connection or self.connection

    @property
    def _is_whole(self) -> bool:
        if self._lost or os.getpid() != self._pid:
            return False
        return self._connection is not None and not self._connection.closed

    def check(self) -> None:
        """Refuse to go on where the transaction is lost.

        :raises IsolationError: says why.
        """
        if os.getpid() != self._pid:
            raise refusal("A forked process uses the database connection of its parent's test.")
        if self._lost:
            raise refusal(self._lost)
        if self._connection is not None and self._connection.closed:
            if not self._begun:
                self._connection = None
                return
            self._lost = "The connection of this test was ended, and with it all it has written."
            raise refusal(self._lost)

    # Statements

    def begin(self, *, automatic: bool, read_only: bool) -> InnerTransaction:
        """A transaction that has not done anything yet."""
        transaction = InnerTransaction(automatic, read_only)
        self._open.add(transaction)
        return transaction

    def prepare(self, transaction: InnerTransaction, effects: Effects) -> None:
        """Have everything ready for a statement of a transaction.

        :raises IsolationError: it cannot be played as a savepoint.
        :raises psycopg.errors.InFailedSqlTransaction: as the server would.
        """
        self.check()
        writes = effects.writes or not self._around.writers.isdisjoint(effects.words)
        if writes and not transaction.writes:
            self._wait_for_others(transaction)
        self._check_over(transaction)
        self.settle()
        self._recover(transaction)
        if not self.has_failed(transaction):
            self._anchor(transaction)
        if writes:
            transaction.writes = True
            for above in self._stack[self._stack.index(transaction) + 1 :]:
                above.covers = True
        transaction.declares |= effects.declares
        transaction.read_only |= effects.read_only
        transaction.unclean |= effects.declares or effects.read_only
        transaction.nested |= "savepoint" in effects.words
        self._changed_schema |= effects.defines
        self._worn |= effects.defines or effects.lasting
        self._last = transaction

    def settle(self) -> None:
        """End the last statement, if it was a transaction of its own."""
        last = self._last
        if last is not None and last.automatic and last in self._open:
            self.end(last, commit=True)

    def _check_over(self, transaction: InnerTransaction) -> None:
        if transaction.over:
            raise refusal("A connection goes on with a transaction of a test that has ended.")
        if transaction.aborted:
            raise errors.InFailedSqlTransaction(
                "current transaction is aborted, commands ignored until end of transaction block"
            )

    def _wait_for_others(self, transaction: InnerTransaction) -> None:
        """Wait until no other thread has a transaction that has written."""
        end = time.monotonic() + PATIENCE
        while other := self._writer_elsewhere(transaction):
            left = end - time.monotonic()
            if left <= 0:
                raise refusal(
                    f"The thread {transaction.thread.name!r} has waited {PATIENCE:g} s to write:"
                    f" the thread {other.thread.name!r} has an open transaction that has written."
                )
            self._free.wait(left)

    def _writer_elsewhere(self, transaction: InnerTransaction) -> InnerTransaction | None:
        self.settle()
        others = (one for one in self._stack if one.thread is not transaction.thread)
        return next((other for other in others if other.writes), None)

    def _recover(self, transaction: InnerTransaction) -> None:
        """Undo a transaction that has failed but is still open, so that another can go on."""
        failed = self._last
        if failed is None or failed is transaction or not self.has_failed(failed):
            return
        if failed.nested or failed.covers or self._stack[-1] is not failed:
            raise refusal("A transaction has failed and is still open, while another goes on.")
        self._run(f"ROLLBACK TO {failed.savepoint}")
        self._give_up_place(failed)
        failed.aborted = True

    def has_failed(self, transaction: InnerTransaction) -> bool:
        """Whether the last statement was its, and has failed."""
        return self._last is transaction and self._status is _IN_ERROR

    @property
    def _status(self) -> pq.TransactionStatus:
        return pq.TransactionStatus(self.shared.pgconn.transaction_status)

    def _anchor(self, transaction: InnerTransaction) -> None:
        """Have a transaction's own savepoint set, above those of all that have written before."""
        commands = self._set_readers_aside(transaction)
        if transaction.savepoint:
            self._spare = ""
        else:
            commands += self._set_savepoint(transaction)
        self._run(*commands)

    def _set_readers_aside(self, transaction: InnerTransaction) -> list[str]:
        """Take the places of those above that have only read. They get others when they go on."""
        commands: list[str] = []
        while self._stack and self._stack[-1] is not transaction and not self._stack[-1].writes:
            reader = self._stack[-1]
            if reader.unclean and not reader.declares:
                commands.append(f"ROLLBACK TO {reader.savepoint}")
            self._give_up_place(reader)
            if reader.declares:
                # Its cursors would go with its savepoint.
                self._spare = ""
        return commands

    def _give_up_place(self, transaction: InnerTransaction) -> None:
        """Leave a savepoint behind in which nothing was done."""
        self._stack.remove(transaction)
        self._spare, transaction.savepoint = transaction.savepoint, ""
        transaction.writes = False

    def _set_savepoint(self, transaction: InnerTransaction) -> list[str]:
        commands = [] if self._begun else ["BEGIN"]
        self._begun = True
        transaction.savepoint, self._spare = self._spare, ""
        if not transaction.savepoint:
            transaction.savepoint = self._next_name()
            commands.append(f"SAVEPOINT {transaction.savepoint}")
        if transaction.read_only:
            commands.append("SET TRANSACTION READ ONLY")
            transaction.unclean = True
        elif transaction.automatic and self._around.deferrable:
            # Checked at the end of the statement, which is that of the transaction.
            commands.append("SET CONSTRAINTS ALL IMMEDIATE")
            transaction.unclean = True
        self._stack.append(transaction)
        return commands

    def _next_name(self) -> str:
        self._count += 1
        return f"testbed_{self._count}"

    # Ends

    def end(self, transaction: InnerTransaction, *, commit: bool) -> None:
        """End a transaction.

        :raises psycopg.Error: a constraint that was deferred does not hold; it is rolled back.
        :raises IsolationError: another one, begun later, has written and is still open.
        """
        if transaction not in self._open:
            self._end_late(transaction, commit)
            return
        self._open.discard(transaction)
        if transaction.savepoint and (commit or self._is_whole):
            self.check()
            self._end(transaction, commit and not self.has_failed(transaction))
        if self._last is transaction:
            self._last = None
        self._free.notify_all()

    def _end_late(self, transaction: InnerTransaction, commit: bool) -> None:
        if commit and transaction.over:
            self._check_over(transaction)

    def _end(self, transaction: InnerTransaction, commit: bool) -> None:
        if self._last is not transaction:
            self._recover(transaction)
        if not transaction.writes:
            if transaction.unclean or self.has_failed(transaction):
                self._run(f"ROLLBACK TO {transaction.savepoint}")
            self._give_up_place(transaction)
            return
        self._run(*self._set_readers_aside(transaction))
        if self._stack[-1] is not transaction:
            self._lose(
                "Two transactions have both written, and the one that began first ended first.",
                at_once=commit,
            )
        elif commit:
            self._release(transaction)
        else:
            self._roll_back(transaction)

    def _release(self, transaction: InnerTransaction) -> None:
        if self._changed_schema and not transaction.automatic:
            self._around = Surroundings.of(self.connection)
        commands = [*self._checks(transaction), *self._restored(transaction)]
        commands.append(f"RELEASE {transaction.savepoint}")
        # Most often another transaction follows: one round trip does for both.
        spare = self._next_name()
        try:
            self._run(*commands, f"SAVEPOINT {spare}")
        except psycopg.Error:
            # As the server would have done.
            self._roll_back(transaction)
            raise
        self._stack.pop()
        self._spare = spare
        for below in self._stack:
            below.covers = True

    def _checks(self, transaction: InnerTransaction) -> Iterator[str]:
        """Check what was deferred, and defer again what is deferred from the start.

        https://www.postgresql.org/docs/current/sql-set-constraints.html
        """
        if self._around.deferrable:
            if not transaction.automatic:
                yield "SET CONSTRAINTS ALL IMMEDIATE"
            if self._around.deferred:
                yield f"SET CONSTRAINTS {', '.join(self._around.deferred)} DEFERRED"

    def _restored(self, transaction: InnerTransaction) -> Iterator[str]:
        """Undo what was set for the transaction alone: a savepoint's end does not."""
        for name, value in transaction.settings.items():
            yield f"SELECT set_config({_literal(name)}, {_literal(value)}, true)"

    def _roll_back(self, transaction: InnerTransaction) -> None:
        if transaction.covers:
            self._lose(
                "A transaction was rolled back in which another one had committed.", at_once=False
            )
            return
        self._run(f"ROLLBACK TO {transaction.savepoint}")
        self._give_up_place(transaction)
        if self._changed_schema:
            # As psycopg does: what comes by the same name may be something else.
            self.shared._prepared.clear()

    def _lose(self, what: str, *, at_once: bool) -> None:
        """Give the test up: what follows would not be what the application has done.

        A rollback does not say so itself, since the last one of a test is of no consequence.
        """
        self._lost = what
        if at_once:
            raise refusal(what)

    def remember_setting(self, transaction: InnerTransaction, name: str) -> None:
        """Note the value of a setting that is about to be set for a transaction alone."""
        if name in transaction.settings or self.has_failed(transaction):
            return
        result = self._run(f"SELECT current_setting({_literal(name)}, true)")
        value = result.get_value(0, 0) if result is not None else None
        # One with a dot comes into being when it is set; any other that is not there is an error.
        if value is not None or "." in name:
            transaction.settings[name] = (value or b"").decode()

    def _run(self, *commands: str) -> pq.abc.PGresult | None:
        """Send commands in one round trip."""
        if not commands:
            return None
        pgconn = self.connection.pgconn
        if pgconn.transaction_status == _ACTIVE:
            raise refusal("Two connections are used at the same time, one in the midst of a COPY.")
        result = pgconn.exec_("; ".join(commands).encode())
        if result.status not in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
            raise errors.error_from_result(result)
        return result

    # The end of the test

    @property
    def begun(self) -> bool:
        """Whether anything was done in it."""
        return self._begun

    @contextmanager
    def looked_into(self) -> Iterator[psycopg.Connection[Any]]:
        """The connection, for somebody who wants to see what the test has written."""
        with self._interrupting():
            if self._status is _IN_ERROR:
                self._run(f"ROLLBACK TO {self._stack[-1].savepoint}")
            yield self.connection

    def roll_back_all(self) -> int | None:
        """Undo all that was done in a test, and be ready for the next.

        :returns: the first transaction of the server's that is later; ``None`` if there was
            nothing to undo.
        :raises IsolationError: a thread still has an open transaction that has written.
        """
        if os.getpid() != self._pid:
            return None
        with self._interrupting():
            self._free.wait_for(lambda: not self._left(), GRACE)
            left = self._left()
            for transaction in self._open:
                transaction.over = True
            end = self._roll_back_outer()
        if left:
            raise refusal(
                f"The thread {left[0].thread.name!r} still has an open transaction at the end of"
                " its test: join it."
            )
        return end

    def _left(self) -> list[InnerTransaction]:
        """Those that have written and belong to a thread that goes on."""
        here = threading.current_thread()
        others = (one for one in self._stack if one.writes and one.thread is not here)
        return [other for other in others if other.thread.is_alive()]

    @contextmanager
    def _interrupting(self) -> Iterator[None]:
        """Take the lock, from a statement that still runs, too."""
        if not self.lock.acquire(timeout=GRACE):
            if self._connection is not None:
                self._connection.cancel()
            if not self.lock.acquire(timeout=GRACE):
                raise refusal("A statement still runs in a thread at the end of its test.")
        try:
            yield
        finally:
            self.lock.release()

    def _roll_back_outer(self) -> int | None:
        connection, begun = self._connection, self._begun
        self._stack.clear()
        self._open.clear()
        self._last, self._spare, self._lost, self._begun = None, "", "", False
        self._changed_schema = False
        worn, self._worn = self._worn, False
        self._free.notify_all()
        if connection is None or connection.closed or not begun:
            return None
        result = connection.pgconn.exec_(_ROLLBACK)
        if worn:
            # What the server has prepared, and what was learnt, may not fit any more.
            self.close()
        return int(result.get_value(0, 0) or 0)

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None and os.getpid() == self._pid:
            self._connection.close()
        self._connection = None


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
