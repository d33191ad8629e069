"""Isolation by rollback: connections whose transactions are savepoints of the test's.

A :class:`SharedConnection` is a connection of psycopg in every respect but one: several of them
share what leads to the server, a connection with one transaction that is never committed. So it
holds for whatever uses one: a session, an engine, a raw connection, a cursor, a COPY.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn
from weakref import ref

import psycopg
from psycopg import errors, pq, sql
from psycopg.adapt import AdaptersMap

from ..statements import Effects, effects_of
from .cursors import watched
from .inner import InnerTransaction
from .refusal import refusal
from .set_config import configured_locally
from .transaction import OuterTransaction

#: What a connection is asked for that is not for the server.
_CLIENT_SIDE = {"autocommit", "context", "cursor_factory", "prepare_threshold", "row_factory"}

#: Parameters in which two connections may differ, and nobody notices.
_INDIFFERENT = {"application_name", "connect_timeout", "fallback_application_name"}

_WRITE = Effects(writes=True)

_READ_COMMITTED = {
    None,
    psycopg.IsolationLevel.READ_COMMITTED,
    psycopg.IsolationLevel.READ_UNCOMMITTED,
}

#: Settings that have a syntax of their own, by its first word.
_SPELT_OUT = {
    "names": "client_encoding",
    "schema": "search_path",
    "session": "session_authorization",
    "time": "TimeZone",
    "xml": "xmloption",
}


class Rollback:
    """The connections of one test database in rollback mode.

    Constructing it connects to nothing.

    :param connected: called when the connection that is shared has been made.
    """

    def __init__(self, connected: Callable[[], None]) -> None:
        self._connected = connected
        self._parameters: dict[str, Any] = {}
        self._outer = OuterTransaction(self._connect)

    def _connect(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(**self._parameters, autocommit=True)
        self._connected()
        return connection

    def connect(self, parameters: dict[str, Any]) -> SharedConnection:
        """What :func:`psycopg.connect` returns for these parameters, within the outer transaction.

        :raises IsolationError: it would differ from the connection that is shared.
        """
        wanted = {key: value for key, value in parameters.items() if key not in _CLIENT_SIDE}
        with self._outer.lock:
            self._outer.check()
            if self._parameters and _visible(wanted) != _visible(self._parameters):
                raise refusal(
                    "Two engines connect to the test's database with other users or options."
                )
            self._parameters = self._parameters or wanted
            return SharedConnection(self._outer, parameters)

    @property
    def begun(self) -> bool:
        """Whether a test has sent a statement that has not been rolled back yet."""
        return self._outer.begun

    def looked_into(self) -> AbstractContextManager[psycopg.Connection[Any]]:
        """Lend the libpq connection, which sees what the test has written."""
        return self._outer.looked_into()

    def roll_back_all(self) -> int | None:
        """Roll back everything that the test has done, and be ready for the next test.

        :returns: the first transaction id of the server that is later than the test; ``None`` if
            the test has sent nothing.
        :raises IsolationError: a thread still has an open transaction that has written.
        """
        return self._outer.roll_back_all()

    def close(self) -> None:
        """Close the libpq connection. A shared connection that is used later opens a new one."""
        self._outer.close()


def _visible(parameters: dict[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in parameters.items() if key not in _INDIFFERENT}


class SharedConnection(psycopg.Connection[Any]):
    """A connection whose transactions are savepoints.

    :param outer: the transaction that it is in.
    :param parameters: those of :func:`psycopg.connect` that are not for the server.
    """

    def __init__(self, outer: OuterTransaction, parameters: dict[str, Any]) -> None:
        self._outer = outer
        self._inner: InnerTransaction | None = None
        super().__init__(outer.connection.pgconn)
        self.lock = outer.lock  # type: ignore[assignment]
        self._autocommit = bool(parameters.get("autocommit", False))
        self.prepare_threshold = parameters.get("prepare_threshold", 5)
        self.row_factory = parameters.get("row_factory") or self.row_factory
        self.cursor_factory = parameters.get("cursor_factory") or self.cursor_factory
        if parameters.get("context") is not None:
            self._adapters = AdaptersMap(parameters["context"].adapters)

    def __del__(self, *_: Any) -> None:
        """Nothing: the way to the server is not its own, and is not to be made for this."""

    # What is shared is looked up each time: it is replaced when the server's connection is.

    @property
    def pgconn(self) -> pq.abc.PGconn:
        """The way to the server."""
        return self._outer.shared.pgconn

    @pgconn.setter
    def pgconn(self, value: pq.abc.PGconn) -> None:
        pass

    @property
    def _prepared(self) -> Any:
        return self._outer.shared._prepared

    @_prepared.setter
    def _prepared(self, value: Any) -> None:
        pass

    @property
    def closed(self) -> bool:
        """Whether it can be used no more."""
        return self._closed or super().closed

    # Statements

    def prepare_for(self, effects: Effects) -> InnerTransaction:
        """Have a transaction ready for a statement. The lock must be held."""
        self._check_connection_ok()
        if not self._autocommit and self._isolation_level not in _READ_COMMITTED:
            raise refusal(f"The isolation level is {_words(self._isolation_level)}.")
        if self._inner is None:
            self._inner = self._outer.begin(
                automatic=self._autocommit and not self._num_transactions,
                read_only=bool(self._read_only) and not self._autocommit,
            )
        inner = self._inner
        self._outer.prepare(inner, effects)
        self.pgconn.notice_handler = partial(psycopg.Connection._notice_handler, ref(self))
        if inner.automatic:
            self._inner = None
        return inner

    @contextmanager
    def statement(
        self, query: Any, parameters: Any = None, *, declares: bool = False
    ) -> Iterator[None]:
        """Hold the connection for a statement that is about to be sent, and until it is done."""
        text = _text(query, self)
        effects = effects_of(text)
        if declares:
            effects = replace(effects, declares=True)
        _refuse(effects)
        with self.lock:
            inner = self.prepare_for(effects)
            for name in _set_locally(text, effects, parameters):
                self._outer.remember_setting(inner, name)
            try:
                yield
            except psycopg.Error as error:
                _refuse_error(error, inner)
                raise
            finally:
                if inner.automatic and self._outer.has_failed(inner):
                    self._outer.settle()

    def cursor(self, *arguments: Any, **options: Any) -> Any:
        """A cursor, whose statements are watched."""
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
        """End the transaction, and keep what it has done until the end of the test."""
        self._end(commit=True)

    def rollback(self) -> None:
        """Undo the transaction."""
        self._end(commit=False)

    def _end(self, *, commit: bool) -> None:
        if self._num_transactions:
            raise errors.ProgrammingError(
                f"Explicit {'commit' if commit else 'rollback'}() forbidden within a Transaction"
                " context."
            )
        self._finish(commit=commit)

    def _finish(self, *, commit: bool) -> None:
        with self.lock:
            inner, self._inner = self._inner, None
            self._outer.settle()
            if inner is not None:
                self._outer.end(inner, commit=commit)

    def close(self) -> None:
        """Undo an open transaction. The way to the server stays."""
        if not self._closed:
            self._closed = True
            self._finish(commit=False)

    @contextmanager
    def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> Iterator[psycopg.Transaction]:
        """A block that is a transaction, or a part of the one that is open."""
        with self.lock:
            alone = self._inner is None
            self._inner = self._inner or self._outer.begin(
                automatic=False, read_only=bool(self._read_only) and not self._autocommit
            )
            self.prepare_for(_NESTED)
        try:
            with super().transaction(savepoint_name, force_rollback) as block:
                yield block
        except BaseException:
            if alone:
                self._finish(commit=False)
            raise
        if alone:
            self._finish(commit=True)

    @contextmanager
    def pipeline(self) -> Iterator[psycopg.Pipeline]:
        """A block whose statements are sent together."""
        with self.lock:
            self.prepare_for(_WRITE)
            with super().pipeline() as pipeline:
                yield pipeline

    def _check_connection_ok(self) -> None:
        # What is lost is said where a statement is sent: in here, SQLAlchemy would take the error
        # for one of its own.
        if self._closed:
            raise errors.OperationalError("the connection is closed")

    def _check_intrans_gen(self, attribute: str) -> Any:
        if self._inner is not None:
            raise errors.ProgrammingError(
                f"can't change {attribute!r} now: connection in transaction status INTRANS"
            )
        yield from ()

    # Two phases

    def tpc_begin(self, xid: Any) -> NoReturn:
        """Refused."""
        raise refusal("A transaction is committed in two phases.")

    def tpc_commit(self, xid: Any = None) -> NoReturn:
        """Refused."""
        raise refusal("A transaction is committed in two phases.")

    def tpc_rollback(self, xid: Any = None) -> NoReturn:
        """Refused."""
        raise refusal("A transaction is committed in two phases.")

    def tpc_recover(self) -> NoReturn:
        """Refused."""
        raise refusal("A transaction is committed in two phases.")


_NESTED = Effects(writes=True, words=frozenset({"savepoint"}))


def _text(query: Any, connection: SharedConnection) -> str:
    if isinstance(query, str):
        return query
    if isinstance(query, bytes):
        return query.decode(errors="replace")
    if isinstance(query, sql.Composable):
        return query.as_string(connection)
    return str(query)


def _refuse(effects: Effects) -> None:
    """Refuse what would end the outer transaction, before it is sent."""
    if effects.two_phase:
        raise refusal("A transaction is committed in two phases.")
    if effects.control:
        raise refusal(f"A statement begins with {effects.control.upper()}.")
    if effects.isolation:
        raise refusal("A statement chooses another isolation level.")


def _refuse_error(error: psycopg.Error, inner: InnerTransaction) -> None:
    """Refuse what the server does only because of the outer transaction."""
    if isinstance(error, errors.UnsafeNewEnumValueUsage):
        raise refusal("A value that was added to an enum is used in the same test.") from error
    outside = (errors.ActiveSqlTransaction, errors.InvalidTransactionTermination)
    if inner.automatic and isinstance(error, outside):
        raise refusal(f"The server says: {str(error).splitlines()[0]}.") from error


def _set_locally(text: str, effects: Effects, parameters: Any) -> Iterator[str]:
    """The names of the settings that a text sets for a transaction alone."""
    for name in effects.local:
        yield _SPELT_OUT.get(name, name.strip('"'))
    if "set_config" in effects.words:
        yield from configured_locally(text, parameters)


def _words(level: psycopg.IsolationLevel | None) -> str:
    return level.name.replace("_", " ") if level is not None else "the server's"
