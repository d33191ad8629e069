"""Connections of psycopg whose transactions are savepoints of a test transaction.

A :class:`SharedConnection` is a connection of psycopg in every respect but one: several of them
share one libpq connection. So rollback mode holds for everything that uses a connection: a session,
an engine, a raw connection, a cursor, a COPY.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

import psycopg
from psycopg import errors, sql

from ..._compat import BorrowingConnection, listen_to_statements
from ..statements import Effects, effects_of
from .cursors import refuse_unwatched, watched
from .local_settings import names_in
from .refusal import refusal, refuse_statement
from .savepoints import ApplicationTransaction, TransactionAborted
from .transaction import TestTransaction
from .underlying import Underlying

#: Parameters of :func:`psycopg.connect` that are not for the server.
_CLIENT_SIDE = {"autocommit", "context", "cursor_factory", "prepare_threshold", "row_factory"}

#: Parameters in which two connections may differ although they share one to the server.
_INDIFFERENT = {"application_name", "connect_timeout", "fallback_application_name"}

_WRITE = Effects(writes=True)
_NESTED = Effects(writes=True, words=frozenset({"savepoint"}))

_READ_COMMITTED = {
    None,
    psycopg.IsolationLevel.READ_COMMITTED,
    psycopg.IsolationLevel.READ_UNCOMMITTED,
}


class Rollback:
    """The connections of one test database in rollback mode.

    Constructing it connects to nothing.

    :param connected: called when the underlying connection has been made.
    """

    def __init__(self, connected: Callable[[], None]) -> None:
        listen_to_statements(refuse_unwatched)
        self._connected = connected
        self._parameters: dict[str, Any] = {}
        self._transaction = TestTransaction(self._connect)

    def __repr__(self) -> str:
        return f"<Rollback {self._transaction!r}>"

    def _connect(self) -> Underlying:
        underlying = Underlying(self._parameters)
        self._connected()
        return underlying

    def connect(self, parameters: dict[str, Any]) -> SharedConnection:
        """Return what :func:`psycopg.connect` would, within the test transaction.

        :param parameters: those of :func:`psycopg.connect`.
        :raises IsolationError: they do not fit the connection that is shared.
        """
        wanted = {key: value for key, value in parameters.items() if key not in _CLIENT_SIDE}
        with self._transaction.lock:
            self._transaction.check()
            self._connect_as(wanted)
            return SharedConnection(
                self._transaction, parameters, partial(self._connect_as, wanted)
            )

    def _connect_as(self, wanted: dict[str, Any]) -> None:
        """Let the underlying connection be one with these parameters. The lock must be held.

        :raises IsolationError: the test has sent something on one with others.
        """
        if wanted is self._parameters:
            return
        if _visible(wanted) != _visible(self._parameters):
            if self._transaction.begun:
                raise refusal(_difference(wanted, self._parameters))
            self._transaction.close()
        self._parameters = wanted

    @property
    def begun(self) -> bool:
        """Whether a test has sent a statement that has not been rolled back yet."""
        return self._transaction.begun

    @contextmanager
    def looked_into(self) -> Iterator[psycopg.Connection[Any]]:
        """Lend the underlying connection, which sees what the test has written."""
        with self._transaction.looked_into() as underlying:
            yield underlying.connection

    def roll_back_all(self) -> int | None:
        """Roll back everything that the test has done, and be ready for the next test.

        :returns: the first transaction id of the server that is later than the test; ``None`` if
            the test has sent nothing.
        :raises IsolationError: a thread still has an open transaction that has written.
        """
        return self._transaction.roll_back_all()

    def close(self) -> None:
        """Disconnect from the server. A shared connection that is used later connects anew."""
        self._transaction.close()


def _difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    """Say in which parameters two connections of a test differ."""
    users = [parameters.get("user") for parameters in (other, one)]
    if users[0] != users[1]:
        return f"The test uses its database as two users, {users[0]!r} and {users[1]!r}."
    return "Two engines connect to the test's database with other options."


def _visible(parameters: dict[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in parameters.items() if key not in _INDIFFERENT}


class SharedConnection(BorrowingConnection):
    """A connection whose transactions are savepoints.

    :param test: the test transaction.
    :param parameters: those of :func:`psycopg.connect`.
    :param connect: lets the underlying connection be one with the same parameters.
    """

    def __init__(
        self,
        test: TestTransaction[Underlying],
        parameters: dict[str, Any],
        connect: Callable[[], None],
    ) -> None:
        self._test = test
        self._connect = connect
        self._current: ApplicationTransaction | None = None
        super().__init__(test.underlying.connection, parameters)
        self.lock = test.lock  # type: ignore[assignment]

    @property
    def lender(self) -> psycopg.Connection[Any]:
        """The underlying connection, even if it has been lost."""
        return self._test.underlying.connection

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction of this connection is open."""
        return self._current is not None

    # Statements

    def _prepare(
        self, effects: Effects, mentioned: Callable[[], frozenset[str]] = frozenset
    ) -> ApplicationTransaction:
        """Prepare the server for a statement, and return its transaction. The lock must be held."""
        self.check_open()
        if not self.autocommit and self.isolation_level not in _READ_COMMITTED:
            raise refusal(f"The isolation level is {_words(self.isolation_level)}.")
        if self._current is None:
            self._connect()
            self._current = self._begin(automatic=self.autocommit and not self.in_block)
        current = self._current
        try:
            self._test.prepare(current, effects, mentioned)
        except TransactionAborted:
            raise errors.InFailedSqlTransaction(
                "current transaction is aborted, commands ignored until end of transaction block"
            ) from None
        self.receive_notices()
        if current.automatic:
            self._current = None
        return current

    def _begin(self, *, automatic: bool) -> ApplicationTransaction:
        read_only = bool(self.read_only) and not self.autocommit
        return self._test.begin(automatic=automatic, read_only=read_only)

    @contextmanager
    def statement(
        self, query: Any, parameters: Any = None, *, declares: bool = False
    ) -> Iterator[None]:
        """Hold the connection for a statement that is about to be sent, until it has ended.

        :param declares: whether it opens a cursor in the server.
        """
        text = _text(query, self)
        effects = effects_of(text).given(parameters)
        if declares:
            effects = replace(effects, declares=True)
        refuse_statement(effects)
        with self.lock:
            transaction = self._prepare(effects, partial(names_in, text, parameters))
            try:
                yield
            except psycopg.Error as error:
                _refuse_error(error, transaction)
                raise
            finally:
                self._test.finish_statement(transaction)

    def cursor(self, *arguments: Any, **options: Any) -> Any:
        """Return a cursor that announces its statements to :meth:`statement`."""
        if self._current is None:
            # A cursor belongs to the libpq connection that is there when it is made.
            with self.lock:
                self._connect()
        factory: Any = self.cursor_factory
        server_factory: Any = self.server_cursor_factory
        self.cursor_factory = watched(factory)
        self.server_cursor_factory = watched(server_factory)
        try:
            return super().cursor(*arguments, **options)
        finally:
            self.cursor_factory, self.server_cursor_factory = factory, server_factory

    # Transactions

    def commit(self) -> None:
        """End the transaction, and keep what it has written until the end of the test."""
        self._check_no_block("commit")
        self._end(commit=True)

    def rollback(self) -> None:
        """End the transaction, and undo what it has written."""
        self._check_no_block("rollback")
        self._end(commit=False)

    def _check_no_block(self, method: str) -> None:
        if self.in_block:
            raise errors.ProgrammingError(
                f"Explicit {method}() forbidden within a Transaction context."
            )

    def _end(self, *, commit: bool) -> None:
        with self.lock:
            current, self._current = self._current, None
            self._test.end(current, commit=commit)

    def close(self) -> None:
        """Roll an open transaction back. The underlying connection stays open."""
        if not self.was_closed:
            self.was_closed = True
            self._end(commit=False)

    @contextmanager
    def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> Iterator[psycopg.Transaction]:
        """Begin a transaction, or a part of the one that is open."""
        with self.lock:
            alone = self._current is None
            self._current = self._current or self._begin(automatic=False)
            self._prepare(_NESTED)
        try:
            with super().transaction(savepoint_name, force_rollback) as block:
                yield block
        except BaseException:
            if alone:
                self._end(commit=False)
            raise
        if alone:
            self._end(commit=True)

    @contextmanager
    def pipeline(self) -> Iterator[psycopg.Pipeline]:
        """Begin a block whose statements are sent together."""
        with self.lock:
            self._prepare(_WRITE)
            with super().pipeline() as pipeline:
                yield pipeline

    # Commits in two phases

    def tpc_begin(self, *_: Any) -> NoReturn:
        """Refuse a commit in two phases, which only the server's own transaction can make."""
        raise refusal("A transaction is committed in two phases.")

    def tpc_commit(self, *_: Any) -> NoReturn:
        """Refuse it as well."""
        self.tpc_begin()

    def tpc_rollback(self, *_: Any) -> NoReturn:
        """Refuse it as well."""
        self.tpc_begin()

    def tpc_recover(self) -> NoReturn:
        """Refuse it as well."""
        self.tpc_begin()


def _text(query: Any, connection: SharedConnection) -> str:
    if isinstance(query, str):
        return query
    if isinstance(query, bytes):
        return query.decode(errors="replace")
    if isinstance(query, sql.Composable):
        return query.as_string(connection)
    return str(query)


def _refuse_error(error: psycopg.Error, transaction: ApplicationTransaction) -> None:
    """Refuse what the server rejects only because the test transaction is open."""
    if isinstance(error, errors.UnsafeNewEnumValueUsage):
        raise refusal("A value that was added to an enum is used in the same test.") from error
    outside = (errors.ActiveSqlTransaction, errors.InvalidTransactionTermination)
    if transaction.automatic and isinstance(error, outside):
        raise refusal(f"The server says: {str(error).splitlines()[0]}.") from error


def _words(level: psycopg.IsolationLevel | None) -> str:
    return level.name.replace("_", " ") if level is not None else "the server's"
