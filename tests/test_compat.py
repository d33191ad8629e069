"""The private names of other libraries are there, and mean what the engine takes them for."""

from __future__ import annotations

import asyncio
import contextvars
import enum
from collections.abc import Iterator
from typing import Any

import factory
import psycopg
import pytest
import sqlalchemy as sa
from factory.alchemy import SQLAlchemyModelFactory, SQLAlchemyOptions
from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy
from psycopg import pq
from psycopg.adapt import AdaptersMap
from psycopg.pq import Format
from psycopg.types import TypeInfo
from psycopg.types.json import JsonDumper
from psycopg.types.string import TextLoader
from sqlalchemy import event
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from flask_testbed import _compat
from flask_testbed.factories.base import BaseFactory
from flask_testbed.factories.bulk.needs_objects import METHODS
from flask_testbed.factories.options import FactoryOptions

# Flask and Werkzeug


def test_the_variables_of_flask() -> None:
    app = Flask("toy")
    before = set(contextvars.copy_context())
    with app.test_request_context():
        pushed = set(contextvars.copy_context()) - before
    assert pushed
    assert pushed <= _compat.FLASK_VARIABLES


def test_the_object_behind_a_proxy() -> None:
    app = Flask("toy")
    with app.app_context():
        assert _compat.unproxied(current_app) is app


def test_the_options_of_flask_sqlalchemy() -> None:
    assert _compat.engine_options(SQLAlchemy(engine_options={"echo": True})) == {"echo": True}


# psycopg


def test_the_parts_of_a_connection_that_borrows() -> None:
    for method in ("_notice_handler", "_check_connection_ok", "_check_intrans_gen"):
        assert callable(getattr(psycopg.Connection, method))
    connection = psycopg.Connection[Any](pq.PGconn.connect_start(b"host=127.0.0.1 port=1"))
    try:
        attributes = {"_adapters", "_autocommit", "_closed", "_num_transactions", "_prepared"}
        assert attributes <= vars(connection).keys()
        _compat.forget_prepared(connection)
    finally:
        connection.close()


def test_the_parameters_of_a_connection_can_be_changed() -> None:
    def change(parameters: dict[str, Any]) -> None:
        assert parameters["dbname"] == "x"
        parameters.update(host="127.0.0.1", port=1, connect_timeout=1)

    before = psycopg.Connection._get_connection_params
    end = _compat.watch_connecting(change)
    try:
        with pytest.raises(psycopg.OperationalError, match="port 1 failed"):
            psycopg.connect("dbname=x host=/nowhere")
        with pytest.raises(psycopg.OperationalError, match="nowhere"):
            _compat.UnwatchedConnection.connect("dbname=x host=/nowhere")
        with pytest.raises(psycopg.OperationalError, match="port 1 failed"):
            asyncio.run(psycopg.AsyncConnection.connect("dbname=x host=/nowhere"))
    finally:
        end()
    assert psycopg.Connection._get_connection_params == before


def test_each_statement_is_heard_of() -> None:
    heard: list[tuple[Any, Any]] = []

    def listen(cursor: Any, query: Any) -> None:
        heard.append((cursor, query))

    _compat.listen_to_statements(listen)
    _compat.listen_to_statements(listen)
    connection = psycopg.Connection[Any](pq.PGconn.connect_start(b"host=127.0.0.1 port=1"))
    try:
        for kind in (psycopg.Cursor, psycopg.ClientCursor, psycopg.RawCursor):
            cursor = kind(connection)
            with pytest.raises(psycopg.OperationalError):
                cursor.execute("SELECT 1")
            assert heard.pop() == (cursor, "SELECT 1")
            assert not heard
    finally:
        connection.close()
        _compat._statement_listeners.remove(listen)


def test_a_change_of_a_connection_is_seen() -> None:
    connection = psycopg.Connection[Any](pq.PGconn.connect_start(b"host=127.0.0.1 port=1"))
    try:
        for change in (
            lambda: connection.adapters.register_dumper(dict, JsonDumper),
            lambda: connection.adapters.register_dumper(list, JsonDumper),
            lambda: connection.adapters.register_loader("json", TextLoader),
            lambda: TypeInfo("of_a_test", 123456, 0).register(connection),
            lambda: connection.add_notice_handler(print),
        ):
            _compat.keep_adapters(connection)
            before = _compat.client_state(connection)
            # As each cursor does, which has adapters of its own.
            AdaptersMap(connection.adapters).register_dumper(dict, JsonDumper)
            assert _compat.client_state(connection) == before
            change()
            assert _compat.client_state(connection) != before
    finally:
        connection.close()


# pytest


@pytest.fixture(scope="module", params=["one", "other"])
def parametrized(request: pytest.FixtureRequest) -> tuple[str, int]:
    return request.param, _compat.parameter_index(request)


@pytest.fixture
def asking(parametrized: tuple[str, int], request: pytest.FixtureRequest) -> pytest.FixtureRequest:
    return request


def test_the_index_of_a_parameter(parametrized: tuple[str, int]) -> None:
    assert parametrized == {"one": ("one", 0), "other": ("other", 1)}[parametrized[0]]


def test_a_fixture_without_a_parameter_has_the_index_0(request: pytest.FixtureRequest) -> None:
    assert _compat.parameter_index(request) == 0


def test_the_definition_and_the_value_of_a_fixture(
    asking: pytest.FixtureRequest, parametrized: tuple[str, int]
) -> None:
    definition = _compat.definition_in_use(asking, "parametrized")
    assert isinstance(definition, pytest.FixtureDef)
    assert _compat.fixture_value(definition) is parametrized


@pytest.fixture(scope="module")
def broken_later(request: pytest.FixtureRequest) -> pytest.FixtureRequest:
    return request


def test_the_error_of_a_fixture_is_raised_for_later_requests(
    request: pytest.FixtureRequest, broken_later: pytest.FixtureRequest
) -> None:
    definition = _compat.definition_in_use(request, "broken_later")
    value = _compat.fixture_value(definition)
    _compat.set_fixture_error(definition, broken_later, LookupError("half-way"))
    try:
        with pytest.raises(LookupError, match="half-way"):
            definition.execute(broken_later)
    finally:
        definition.cached_result = (value, definition.cache_key(broken_later), None)


def test_the_session(request: pytest.FixtureRequest) -> None:
    assert _compat.pytest_session(request.config) is request.session


def test_an_option_that_pytest_has_read_or_is_about_to_read(pytestconfig: pytest.Config) -> None:
    assert _compat.pytest_option(pytestconfig, "keep_db") is pytestconfig.getoption("keep_db")
    assert hasattr(pytestconfig.known_args_namespace, "keep_db")
    assert _compat.pytest_option(pytestconfig, "there_is_no_such_option") is None


# factory_boy


class CountingFactory(factory.Factory):  # type: ignore[misc]  # factory_boy is Any to mypy
    class Meta:
        model = dict

    number = factory.Sequence(int)


def overridden(ours: type, theirs: type) -> Iterator[str]:
    own = {name for name in vars(ours) if name.startswith("_") and not name.startswith("__")}
    return (name for name in own if not hasattr(theirs, name))


def test_the_methods_that_are_overridden_are_factory_boys() -> None:
    assert list(overridden(BaseFactory, SQLAlchemyModelFactory)) == []
    assert set(overridden(FactoryOptions, SQLAlchemyOptions)) <= {"_restart_iterators"}
    assert [name for name in METHODS if not hasattr(SQLAlchemyModelFactory, name)] == []


def test_the_arguments_of_a_declaration() -> None:
    assert _compat.defaults_of(factory.SubFactory(CountingFactory, number=3)) == {"number": 3}
    assert _compat.defaults_of(factory.Faker("name"))["locale"] is None


def test_the_default_of_an_attribute() -> None:
    assert not _compat.has_default(factory.SelfAttribute("name"))
    assert _compat.has_default(factory.SelfAttribute("name", default=None))


def test_the_faker_of_a_locale() -> None:
    faker = _compat.faker_of("de_DE")

    assert faker.locales == ["de_DE"]
    assert _compat.faker_of("de_DE") is faker
    assert _compat.faker_of(None).random is not None


def test_the_numbers_of_a_sequence() -> None:
    CountingFactory.reset_sequence(5)

    assert list(_compat.take_sequence_numbers(CountingFactory._meta, 3)) == [5, 6, 7]
    assert CountingFactory() == {"number": 8}


# psycopg, for binary COPY


@pytest.mark.parametrize("value", [[], [7], [1, None, 3], [[1, 2, 3], [4, 5, 6]]])
def test_the_dumper_of_arrays(value: list[Any]) -> None:
    types = psycopg.adapters.types
    number = psycopg.adapters.get_dumper_by_oid(types["int4"].oid, Format.BINARY)(int)

    made = _compat.array_dumper(types["int4"].oid, number.dump).dump(value)

    context = psycopg.adapt.Transformer()
    theirs = psycopg.adapters.get_dumper_by_oid(types["int4"].array_oid, Format.BINARY)
    assert made == theirs(list, context).dump(value)
    loader = context.get_loader(types["int4"].array_oid, Format.BINARY)
    assert loader.load(made) == value


def test_the_dumper_of_arrays_refuses_what_is_no_rectangle() -> None:
    dumper = _compat.array_dumper(psycopg.adapters.types["text"].oid, str.encode)

    # Rows in bulk are sent as text then.
    with pytest.raises(psycopg.DataError):
        dumper.dump([["a", "b"], ["c"]])


# SQLAlchemy's models, for rows in bulk


class Base(DeclarativeBase):
    pass


class Parent(Base):
    __tablename__ = "compat_parents"

    id: Mapped[int] = mapped_column(primary_key=True)
    children: Mapped[list[Child]] = relationship(back_populates="parent")


class Child(Base):
    __tablename__ = "compat_children"

    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int] = mapped_column(sa.ForeignKey("compat_parents.id"))
    parent: Mapped[Parent] = relationship(back_populates="children")

    def __init__(self) -> None:
        self.parent_id = 1


class Shouted(sa.types.TypeDecorator[str]):
    impl = sa.Text
    cache_ok = True

    def bind_expression(self, bindparam: Any) -> Any:
        return sa.func.upper(bindparam)


def test_the_relationships_that_mirror_one() -> None:
    parent = sa.inspect(Child).relationships["parent"]

    assert [one.key for one in _compat.reverse_relationships(parent)] == ["children"]


def test_a_constructor_of_the_models_own() -> None:
    assert _compat.has_own_init(sa.inspect(Child))
    assert not _compat.has_own_init(sa.inspect(Parent))


def test_listeners() -> None:
    mapper = sa.inspect(Parent)
    assert not _compat.has_listener(mapper, "before_insert")
    assert not _compat.has_listener(Parent.id, "set")

    event.listen(Parent, "before_insert", print)
    event.listen(Parent.id, "set", print)

    assert _compat.has_listener(mapper, "before_insert")
    assert _compat.has_listener(Parent.id, "set")


def test_types_that_write_by_an_expression() -> None:
    assert _compat.has_bind_expression(Shouted())
    assert not _compat.has_bind_expression(sa.Text())


# SQLAlchemy's pools


def test_the_pool_of_a_record() -> None:
    engine = sa.create_engine("sqlite://")
    found: list[Any] = []
    event.listen(engine, "connect", lambda _, record: found.append(_compat.pool_of(record)))
    with engine.connect():
        pass
    engine.dispose()
    assert [pool.__class__ for pool in found] == [engine.pool.__class__]


# SQLAlchemy's mock connection


def test_the_statements_of_models_and_listeners_are_recorded() -> None:
    metadata = sa.MetaData()
    sa.Table("shelf", metadata, sa.Column("id", sa.Integer, primary_key=True))

    @event.listens_for(metadata, "after_create")
    def add(target: Any, connection: Any, **_: Any) -> None:
        connection.execute(sa.text("SELECT 1"))
        connection.exec_driver_sql("SELECT 2")

    recorder = _compat.RecordingConnection()
    metadata.create_all(recorder, checkfirst=False)

    assert "CREATE TABLE shelf" in recorder.statements[0]
    assert recorder.statements[1].startswith("SELECT 1")
    assert recorder.statements[2] == "SELECT 2"


# Python and SQLAlchemy's types and constraints, for scaffold


class Colour(enum.Enum):
    RED = "red"


def test_the_operations_of_a_regular_expression() -> None:
    operations = [str(operation) for operation, _ in _compat.parse_regex("^a[b-c]{2}")]

    assert operations == ["AT", "LITERAL", "MAX_REPEAT"]


def test_the_variant_of_a_type() -> None:
    varied = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

    assert isinstance(_compat.postgresql_variant(varied), postgresql.JSONB)
    assert isinstance(_compat.postgresql_variant(sa.JSON()), sa.JSON)


def test_the_members_of_an_enumeration() -> None:
    assert _compat.enum_members(sa.Enum(Colour))["RED"] is Colour.RED


def test_a_constraint_that_a_type_made() -> None:
    kind = sa.Enum(Colour, native_enum=False, create_constraint=True)
    table = sa.Table(
        "compat_checks",
        sa.MetaData(),
        sa.Column("colour", kind),
        sa.CheckConstraint("colour <> ''", name="own"),
    )

    checks = [one for one in table.constraints if isinstance(one, sa.CheckConstraint)]

    assert {one.name == "own": _compat.belongs_to_type(one) for one in checks} == {
        True: False,
        False: True,
    }


# factory_boy's sequences, for lint


class NumberedFactory(factory.Factory):  # type: ignore[misc]  # factory_boy is Any to mypy
    class Meta:
        model = dict

    number = factory.Sequence(int)


@pytest.mark.parametrize("number", [0, 7])
def test_the_counter_of_a_sequence(number: int) -> None:
    NumberedFactory.reset_sequence(number)

    assert NumberedFactory()["number"] == number
    assert _compat.sequence_counter(NumberedFactory).seq == number + 1
