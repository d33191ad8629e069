"""The way of a connection: where an engine of the application really connects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.engine import URL, make_url

from flask_testbed.application.databases import database_of
from flask_testbed.application.gate import gate
from flask_testbed.application.routes import Destination
from flask_testbed.errors import DatabaseError, IsolationError, SettingsError
from flask_testbed.sandbox.sandbox import Sandbox
from tests.support.servers import Stock
from tests.support.toys import Toys


class Elsewhere(Destination):
    """The database that the routes lead to."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url).set(drivername="postgresql+psycopg")

    def url(self) -> URL:
        return self._url


@pytest.fixture
def other(stock: Stock) -> Elsewhere:
    stock.create("own")
    stock.create("other")
    return Elsewhere(stock.url("other"))


Make = Callable[..., Flask]


@pytest.fixture
def make(stock: Stock, toys: Toys, other: Elsewhere) -> Iterator[Make]:
    """Make an application whose engines are redirected."""
    made: list[Flask] = []

    def make_app(**options: Any) -> Flask:
        app = toys.app(stock.url("own"), SQLALCHEMY_ENGINE_OPTIONS=options)
        database_of(app).redirect(other, to_test=True)
        made.append(app)
        return app

    yield make_app
    for app in made:
        database_of(app).dispose()


def name_of(connection: sa.Connection) -> Any:
    return connection.scalar(sa.text("SELECT current_database()"))


def engine_of(app: Flask) -> sa.Engine:
    return database_of(app).route.engine


def test_an_engine_is_redirected(make: Make) -> None:
    with engine_of(make()).connect() as connection:
        assert name_of(connection) == "other"


def test_a_creator_of_the_application_is_refused(make: Make, stock: Stock) -> None:
    """SQLAlchemy calls it without telling anybody."""
    made: list[psycopg.Connection[Any]] = []

    def create() -> psycopg.Connection[Any]:
        made.append(psycopg.connect(stock.url("own")))
        return made[-1]

    app = make(creator=create)

    with pytest.raises(SettingsError, match="connected to the database 'own'"):
        engine_of(app).connect()

    assert [connection.closed for connection in made] == [True]


@pytest.mark.parametrize("own", ["postgresql://placeholder/app", "postgresql://"])
def test_a_creator_is_refused_wherever_the_url_says(
    stock: Stock, toys: Toys, environment: pytest.MonkeyPatch, own: str
) -> None:
    """A connector of a cloud gets the instance from elsewhere, and the URL names none."""
    victim = stock.create("real")
    environment.setenv("TEST_DATABASE_URL", stock.url("x_test"))
    creator = {"creator": lambda: psycopg.connect(stock.url("real"))}
    app = toys.app(own, SQLALCHEMY_ENGINE_OPTIONS=creator)

    toys.run(app, "test-db", "create").assert_says("connected to the database 'real'", "creator")
    sandbox = Sandbox.of(app)
    with pytest.raises(DatabaseError, match="connected to the database 'real'"):
        engine_of(app).connect()

    sandbox.close()
    victim.assert_untouched()


def test_a_pool_of_the_application_is_refused(make: Make, stock: Stock) -> None:
    pool = sa.pool.QueuePool(lambda: psycopg.connect(stock.url("own")))  # type: ignore[arg-type]
    engine = engine_of(make())
    engine.pool = pool

    with pytest.raises(SettingsError, match="connected to the database 'own'"):
        engine.connect()


def test_a_creator_that_leads_to_the_test_database_is_not_refused(make: Make, stock: Stock) -> None:
    app = make(creator=lambda: psycopg.connect(stock.url("other")))

    with engine_of(app).connect() as connection:
        assert name_of(connection) == "other"


def test_a_listener_that_connects_by_itself_is_refused(make: Make, stock: Stock) -> None:
    engine = engine_of(make())

    @sa.event.listens_for(engine, "do_connect")
    def connect(*_: Any) -> Any:
        return psycopg.connect(stock.url("own"))

    with pytest.raises(SettingsError, match="connected to the database 'own'"):
        engine.connect()


def test_a_listener_that_changes_the_database_is_refused(make: Make) -> None:
    engine = engine_of(make())

    @sa.event.listens_for(engine, "do_connect")
    def change(_: Any, __: Any, ___: Any, parameters: dict[str, Any]) -> None:
        parameters["dbname"] = "own"

    with pytest.raises(SettingsError, match="connected to the database 'own'"):
        engine.connect()


def test_a_listener_that_changes_the_address_is_refused(stock: Stock, toys: Toys) -> None:
    """libpq prefers it to the host."""
    app = toys.app("postgresql://placeholder/app")
    route, engine = database_of(app).route, engine_of(app)

    @sa.event.listens_for(engine, "do_connect")
    def change(_: Any, __: Any, ___: Any, parameters: dict[str, Any]) -> None:
        parameters["hostaddr"] = "127.0.0.1"

    elsewhere = make_url(stock.url("postgres", drivername="postgresql+psycopg", host="192.0.2.1"))
    with (
        route.detour(elsewhere),
        pytest.raises(SettingsError, match=r"'postgres' on 127\.0\.0\.1:"),
    ):
        engine.connect()


def test_a_connection_string_does_not_lead_elsewhere(make: Make) -> None:
    conninfo = "hostaddr=192.0.2.1 dbname=own application_name=toy"
    with engine_of(make(connect_args={"conninfo": conninfo})).connect() as connection:
        assert name_of(connection) == "other"
        assert connection.scalar(sa.text("SHOW application_name")) == "toy"


def test_a_listener_that_adds_a_password_is_obeyed(make: Make) -> None:
    engine = engine_of(make())

    @sa.event.listens_for(engine, "do_connect")
    def change(_: Any, __: Any, ___: Any, parameters: dict[str, Any]) -> None:
        parameters["application_name"] = "with a token"

    with engine.connect() as connection:
        assert connection.scalar(sa.text("SHOW application_name")) == "with a token"
        assert name_of(connection) == "other"


def test_an_unmanaged_engine_is_redirected_and_its_creator_refused(
    make: Make, stock: Stock
) -> None:
    make()
    url = make_url(stock.url("own")).set(drivername="postgresql+psycopg")
    unmanaged = sa.create_engine(url)
    with unmanaged.connect() as connection:
        assert name_of(connection) == "other"
    unmanaged.dispose()

    own = sa.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(stock.url("own"))
    )
    with pytest.raises(SettingsError, match="connected to the database 'own'"):
        own.connect()


def test_a_connection_that_was_pooled_before_is_not_used_again(
    stock: Stock, toys: Toys, other: Elsewhere
) -> None:
    app = toys.app(stock.url("own"))
    engine = engine_of(app)
    with engine.connect() as connection:
        assert name_of(connection) == "own"

        database_of(app).redirect(other, to_test=True)

    with engine.connect() as connection:
        assert name_of(connection) == "other"
    engine.dispose()


def test_a_test_database_is_not_left_for_another_destination(make: Make, stock: Stock) -> None:
    app = make()

    database_of(app).redirect(Elsewhere(stock.url("own")), to_test=False)

    with engine_of(app).connect() as connection:
        assert name_of(connection) == "other"


def test_a_detour_is_of_one_thread_and_closes_its_connections(make: Make, stock: Stock) -> None:
    stock.create("third")
    engine = engine_of(make())
    with database_of(engine_app := make()).route.detour(make_url(stock.url("third"))):
        with engine_of(engine_app).connect() as connection:
            assert name_of(connection) == "third"
            raw = connection.connection.driver_connection
        with engine.connect() as connection:
            assert name_of(connection) == "other"

    assert raw is not None
    assert raw.closed
    with engine_of(engine_app).connect() as connection:
        assert name_of(connection) == "other"


def test_what_is_forbidden_is_refused_at_each_step(make: Make) -> None:
    engine = engine_of(make())
    with engine.connect():
        pass
    gate.forbid("not here")
    try:
        with pytest.raises(IsolationError, match="not here"):
            engine.connect()
        engine.dispose()
        with pytest.raises(IsolationError, match="not here"):
            engine.connect()
    finally:
        gate.allow()
    with engine.connect() as connection:
        assert name_of(connection) == "other"


def test_a_detour_inside_a_detour(stock: Stock, toys: Toys) -> None:
    for name in ("own", "outer", "inner"):
        stock.create(name)
    outer, inner = (
        make_url(stock.url(name, drivername="postgresql+psycopg")) for name in ("outer", "inner")
    )
    app = toys.app(stock.url("own"))
    route, engine = database_of(app).route, engine_of(app)
    found = []

    def look() -> None:
        with engine.connect() as connection:
            found.append(name_of(connection))

    with route.detour(outer):
        look()
        with route.detour(inner):
            look()
        look()

    assert found == ["outer", "inner", "outer"]
