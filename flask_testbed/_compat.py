"""What the engine uses of other libraries although it is private or not documented.

There is a section for each library. Each entry names the version that it was seen in, and
``tests/test_compat.py`` tests that it is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar
from weakref import ref

import psycopg
from flask import globals as globals_of_flask
from psycopg import errors, pq
from psycopg._cursor_base import BaseCursor
from psycopg.adapt import AdaptersMap
from sqlalchemy.engine import make_url
from sqlalchemy.engine.mock import MockConnection

T = TypeVar("T")
C = TypeVar("C", bound=psycopg.Connection[Any])


# psycopg


class BorrowingConnection(psycopg.Connection[Any]):
    """A connection whose libpq connection belongs to another one. psycopg 3.3.

    psycopg offers no such thing: a connection closes the libpq connection that it was made with.
    So the private attributes and methods that lead to it are overridden here, and what a subclass
    needs of the others has a public name.

    :param lender: the owner of the libpq connection at first; a subclass says who it is now.
    :param parameters: those of :func:`psycopg.connect` that are not for the server.
    """

    def __init__(self, lender: psycopg.Connection[Any], parameters: dict[str, Any]) -> None:
        super().__init__(lender.pgconn)
        self._autocommit = bool(parameters.get("autocommit", False))
        self.prepare_threshold = parameters.get("prepare_threshold", 5)
        self.row_factory = parameters.get("row_factory") or self.row_factory
        self.cursor_factory = parameters.get("cursor_factory") or self.cursor_factory
        if parameters.get("context") is not None:
            self._adapters = AdaptersMap(parameters["context"].adapters)

    def __del__(self, *_: Any) -> None:
        """Do nothing: closing the libpq connection here would end the transaction of the owner."""

    @property
    def lender(self) -> psycopg.Connection[Any]:
        """The owner of the libpq connection. It is looked up each time, since it is replaced."""
        raise NotImplementedError

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction of this connection is open."""
        raise NotImplementedError

    @property
    def pgconn(self) -> pq.abc.PGconn:
        """The libpq connection."""
        return self.lender.pgconn

    @pgconn.setter
    def pgconn(self, value: pq.abc.PGconn) -> None:
        pass

    @property
    def _prepared(self) -> Any:
        return self.lender._prepared

    @_prepared.setter
    def _prepared(self, value: Any) -> None:
        pass

    @property
    def closed(self) -> bool:
        """Whether this connection was closed, or the libpq connection has been lost."""
        return self._closed or super().closed

    @property
    def was_closed(self) -> bool:
        """Whether this connection was closed, whatever has become of the libpq connection."""
        return self._closed

    @was_closed.setter
    def was_closed(self, value: bool) -> None:
        self._closed = value

    @property
    def in_block(self) -> bool:
        """Whether a block of :meth:`transaction` is open."""
        return bool(self._num_transactions)

    def check_open(self) -> None:
        """Refuse to go on if this connection was closed.

        A libpq connection that is lost is reported elsewhere: SQLAlchemy would take the error from
        here for one that it can recover from.
        """
        self._check_connection_ok()

    def receive_notices(self) -> None:
        """Have the notices of the server from now on handled by this connection."""
        self.pgconn.notice_handler = partial(psycopg.Connection._notice_handler, ref(self))

    def _check_connection_ok(self) -> None:
        if self._closed:
            raise errors.OperationalError("the connection is closed")

    def _check_intrans_gen(self, attribute: str) -> Any:
        if self.in_transaction:
            raise errors.ProgrammingError(
                f"can't change {attribute!r} now: connection in transaction status INTRANS"
            )
        yield from ()


class UnwatchedConnection(psycopg.Connection[Any]):
    """A connection of the testbed's own, which :func:`watch_connecting` does not watch."""


def watch_connecting(change: Callable[[dict[str, Any]], None]) -> Callable[[], None]:
    """Let a function change the parameters of each connection that psycopg makes. psycopg 3.3.

    Psycopg has a method for that, which is private: `_get_connection_params`.

    :returns: a function that ends this.
    """
    kinds: tuple[Any, ...] = (psycopg.Connection, psycopg.AsyncConnection)
    originals = [vars(kind)["_get_connection_params"] for kind in kinds]

    def changed(cls: Any, conninfo: str, **parameters: Any) -> dict[str, Any]:
        found: dict[str, Any] = originals[0].__func__(cls, conninfo, **parameters)
        if not issubclass(cls, UnwatchedConnection):
            change(found)
        return found

    async def changed_async(cls: Any, conninfo: str, **parameters: Any) -> dict[str, Any]:
        found: dict[str, Any] = await originals[1].__func__(cls, conninfo, **parameters)
        change(found)
        return found

    methods: tuple[Any, ...] = (changed, changed_async)
    for kind, method in zip(kinds, methods, strict=True):
        kind._get_connection_params = classmethod(method)

    def end() -> None:
        for kind, original in zip(kinds, originals, strict=True):
            kind._get_connection_params = original

    return end


class ClientState(NamedTuple):
    """What psycopg's connection knows, and the server does not.

    Two states are equal if nothing was set and nothing registered between them.
    """

    settings: tuple[Any, ...]
    adapters: tuple[int, ...]
    """The identities of the maps of adapters, each of which is copied before it is changed."""

    maps: tuple[Any, ...]
    """The maps, so that their identities are not those of others."""


def keep_adapters(connection: psycopg.Connection[Any]) -> None:
    """Have psycopg copy a map of a connection's adapters before it changes it. psycopg 3.3."""
    # It does so with the maps that another object has taken over.
    AdaptersMap(connection.adapters)


def client_state(connection: psycopg.Connection[Any]) -> ClientState:
    """Return the state of a connection, after :func:`keep_adapters`. psycopg 3.3."""
    adapters = connection.adapters
    maps = (*adapters._dumpers.values(), *adapters._dumpers_by_oid, *adapters._loaders)
    maps += (adapters.types._registry,)
    settings = (
        connection.autocommit,
        connection.isolation_level,
        connection.read_only,
        connection.deferrable,
        connection.row_factory,
        connection.cursor_factory,
        connection.server_cursor_factory,
        connection.prepare_threshold,
        None if isinstance(connection, BorrowingConnection) else connection.prepared_max,
        *connection._notice_handlers,
        *connection._notify_handlers,
    )
    return ClientState(settings, tuple(map(id, maps)), maps)


#: Called with a cursor and a query; without a query for a COPY, and to fetch from a server cursor.
StatementListener = Callable[[Any, Any], None]

_statement_listeners: list[StatementListener] = []


def listen_to_statements(listener: StatementListener) -> None:
    """Call a function before each statement of each cursor of psycopg. psycopg 3.3.

    A second call for the same function has no effect.
    """
    if not _statement_listeners:
        original: Any = BaseCursor._start_query

        def start_query(cursor: Any, query: Any = None) -> Any:
            for one in _statement_listeners:
                one(cursor, query)
            return original(cursor, query)

        BaseCursor._start_query = start_query  # type: ignore[method-assign, assignment]
    if listener not in _statement_listeners:
        _statement_listeners.append(listener)


def watch_waits(
    connection: C,
    begins: Callable[[C], object],
    waits: Callable[[C], Exception | None],
    interval: float,
) -> None:
    """Call functions when a connection begins to wait for the server, and while it waits.

    Psycopg waits by running a generator, to which it says ten times a second that nothing has come.
    psycopg 3.2 and later.

    :param begins: called before each command is sent.
    :param waits: called every so many seconds of a command. If it returns an error, the command is
        cancelled, and the error is raised.
    """
    weakly = ref(connection)

    def wait(generator: Any, *arguments: Any, **options: Any) -> Any:
        itself = weakly()
        assert itself is not None, "its method is called"
        begins(itself)
        watched = _watched(itself, generator, waits, interval)
        return psycopg.Connection.wait(itself, watched, *arguments, **options)

    connection.wait = wait  # type: ignore[method-assign, assignment]


def _watched(
    connection: C, generator: Any, waits: Callable[[C], Exception | None], interval: float
) -> Any:
    looks_at = time.monotonic() + interval
    error = None
    try:
        wanted = next(generator)
        while True:
            ready = yield wanted
            if not ready and error is None and time.monotonic() > looks_at:
                error = waits(connection)
                if error is not None:
                    connection.cancel()
                looks_at = time.monotonic() + interval
            wanted = generator.send(ready)
    except StopIteration as stop:
        return stop.value
    except errors.QueryCanceled as cancelled:
        if error is not None:
            raise error from cancelled
        raise


def forget_prepared(connection: psycopg.Connection[Any]) -> None:
    """Forget what was prepared, as a rollback of psycopg's own does. psycopg 3.3."""
    connection._prepared.clear()


# Flask and Werkzeug

#: The context variables in which Flask keeps the contexts that are pushed. Flask 3.1 has one for
#: applications and one for requests, Flask 3.2 has one for both.
FLASK_VARIABLES = frozenset(
    value for value in vars(globals_of_flask).values() if isinstance(value, ContextVar)
)


def unproxied(proxy: T) -> T:
    """Return the object that a proxy such as ``current_app`` stands for.

    ``LocalProxy._get_current_object`` is documented, but type checkers do not see it. Werkzeug 3.1.
    """
    found: T = proxy._get_current_object()  # type: ignore[attr-defined]
    return found


# Flask-SQLAlchemy


def engine_options(db: Any) -> dict[str, Any]:
    """Return the options that were given to ``SQLAlchemy(engine_options=…)``.

    Flask-SQLAlchemy 3.1.
    """
    return dict(db._engine_options)


# pytest
#
# It is not imported here: the extension works without it.


def pytest_option(config: Any, name: str) -> Any:
    """Return the value of a command-line option, also before pytest has read them all; else None.

    `Config.known_args_namespace` is not documented. pytest 9.2.
    """
    early = getattr(config.known_args_namespace, name, None)
    return getattr(config.option, name, early)


def pytest_session(config: Any) -> Any:
    """Return the `pytest.Session`, or None before it begins.

    That it is registered as the plugin ``session`` is not documented. pytest 9.2.
    """
    return config.pluginmanager.get_plugin("session")


def definition_in_use(request: Any, name: str) -> Any:
    """Return the definition of the fixture that a request gets by a name. pytest 9.2."""
    return request._get_active_fixturedef(name)


def parameter_index(request: Any) -> int:
    """Return the number of a fixture's parameter, 0 for a fixture without. pytest 9.2."""
    index: int = getattr(request, "param_index", 0)
    return index


def fixture_value(definition: Any) -> Any:
    """Return what a fixture has returned or yielded, or None if it has not been set up.

    `FixtureDef.cached_result` is not documented. pytest 9.2.
    """
    return definition.cached_result[0] if definition.cached_result is not None else None


def set_fixture_error(definition: Any, request: Any, error: BaseException) -> None:
    """Raise an error for everything that asks for a fixture from now on.

    `FixtureDef.cached_result` and `FixtureDef.cache_key` are not documented. pytest 9.2.
    """
    key = definition.cache_key(request)
    definition.cached_result = (None, key, (error, error.__traceback__))


# Alembic
#
# It is imported where it is needed: an application may have no migrations.


@contextmanager
def outer_migration() -> Iterator[None]:
    """Run a command of Alembic's inside another one. Alembic 1.20.

    The modules `alembic.context` and `alembic.op` stand for objects of the running command, and
    the end of an inner command leaves them empty. So those of the outer one are set aside.
    """
    from alembic import context, op

    modules: tuple[Any, ...] = (context, op)
    outer = [module._proxy for module in modules if getattr(module, "_proxy", None) is not None]
    for proxy in outer:
        proxy._remove_proxy()
    try:
        yield
    finally:
        for proxy in outer:
            proxy._install_proxy()


# factory_boy
#
# It is imported where it is needed: the extension works without it. These names are used
# throughout flask_testbed.factories, and are not hidden here:
#
# - `_meta`, the options of a factory, which factory_boy's documentation itself names;
# - `factory.builder`, which its page "Internals" documents: `parse_declarations`, `BuildStep`,
#   `StepBuilder`, `DeclarationSet` (https://factoryboy.readthedocs.io/en/stable/internals.html);
# - the methods that `BaseFactory` and `FactoryOptions` override.


def defaults_of(declaration: Any) -> dict[str, Any]:
    """Return the keyword arguments of a declaration. factory_boy 3.3."""
    defaults: dict[str, Any] = declaration._defaults
    return defaults


def has_default(attribute: Any) -> bool:
    """Return whether a `SelfAttribute` was given a default. factory_boy 3.3."""
    from factory import declarations

    return attribute.default is not declarations._UNSPECIFIED


def faker_of(locale: str | None) -> Any:
    """Return the Faker that factory_boy uses for a locale. factory_boy 3.3."""
    import factory

    return factory.Faker._get_faker(locale)


def take_sequence_numbers(meta: Any, size: int) -> range:
    """Return the next numbers of a factory's sequence, and advance it. factory_boy 3.3."""
    meta._initialize_counter()
    first: int = meta._counter.seq
    meta._counter.seq += size
    return range(first, first + size)


# psycopg, for binary COPY


@dataclass(frozen=True)
class _ElementDumper:
    """Has the two attributes that psycopg's dumper of lists uses of an element's dumper."""

    oid: int
    dump: Callable[[Any], bytes]


def array_dumper(oid: int, dump: Callable[[Any], bytes]) -> Any:
    """Return psycopg's binary dumper of lists, with elements that psycopg need not know.

    The attribute `sub_dumper` is not documented. psycopg 3.3.

    :param oid: the type of the elements.
    :param dump: returns an element in the binary format.
    """
    import psycopg
    from psycopg.pq import Format

    array = psycopg.adapters.types["text"].array_oid
    dumper: Any = psycopg.adapters.get_dumper_by_oid(array, Format.BINARY)(list)
    dumper.sub_dumper = _ElementDumper(oid, dump)
    return dumper


# SQLAlchemy's models, for rows in bulk


def reverse_relationships(relationship: Any) -> set[Any]:
    """Return the relationships that mirror one, by ``back_populates`` or ``backref``.

    SQLAlchemy 2.0 and 2.1.
    """
    reverse: set[Any] = relationship._reverse_property
    return reverse


def has_own_init(mapper: Any) -> bool:
    """Return whether a model's ``__init__`` is not the one of its registry.

    `ClassManager.original_init` is not documented. SQLAlchemy 2.0 and 2.1.
    """
    return mapper.class_manager.original_init is not mapper.registry.constructor


def has_listener(target: Any, event: str) -> bool:
    """Return whether anything listens to an event of a mapper or of an attribute.

    `dispatch` is not documented. SQLAlchemy 2.0 and 2.1.
    """
    return bool(getattr(target.dispatch, event))


def has_bind_expression(kind: Any) -> bool:
    """Return whether a type writes its values by an SQL expression. SQLAlchemy 2.0 and 2.1."""
    found: bool = kind._has_bind_expression
    return found


# Python and SQLAlchemy's types and constraints, for scaffold


def parse_regex(pattern: str) -> Any:
    """Return the operations of a regular expression, and their operands. Python 3.11 to 3.14."""
    import re

    return re._parser.parse(pattern)  # type: ignore[attr-defined]


def postgresql_variant(column_type: Any) -> Any:
    """Return what `with_variant` made of a type for PostgreSQL. SQLAlchemy 2.0 and 2.1."""
    return column_type._variant_mapping.get("postgresql", column_type)


def enum_members(column_type: Any) -> dict[str, Any]:
    """Return the members of a type's ``enum_class`` by what is stored. SQLAlchemy 2.0 and 2.1."""
    members: dict[str, Any] = column_type._object_lookup
    return members


def belongs_to_type(constraint: Any) -> bool:
    """Return whether a CHECK constraint was made by the type of a column.

    `Boolean` and `Enum` make one if ``create_constraint`` is set. SQLAlchemy 2.0 and 2.1.
    """
    found: bool = constraint._type_bound
    return found


# factory_boy's sequences, for lint


def sequence_counter(factory: Any) -> Any:
    """Return the counter of a factory's sequence, which has a number ``seq``. factory_boy 3.3.

    ``None`` before the factory has been called.
    """
    return factory._meta._counter


# SQLAlchemy's pools


def pool_of(record: Any) -> Any:
    """Return the pool to which a record of a pooled connection belongs. SQLAlchemy 2.1."""
    return record._ConnectionRecord__pool


# SQLAlchemy's mock connection, for the fingerprint of models


class RecordingConnection(MockConnection):
    """A connection that records statements and executes none. SQLAlchemy 2.0 and 2.1.

    ``create_mock_engine()`` is documented. The class of what it returns is not, and lacks methods
    that listeners to ``after_create`` call, such as ``exec_driver_sql()``.
    """

    def __init__(self) -> None:
        self.statements: list[str] = []
        super().__init__(make_url("postgresql+psycopg://").get_dialect()(), self._record)

    def _record(self, statement: Any, *parameters: Any, **_: Any) -> None:
        compile_ = getattr(statement, "compile", None)
        text = compile_(dialect=self.dialect) if compile_ else statement
        self.statements.append(f"{text}{parameters or ''}")

    def __getattr__(self, name: str) -> Any:
        return self._record
