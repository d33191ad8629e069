"""The application's own database is never touched, however it is addressed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_testbed import Testbed, development_url
from flask_testbed.application.databases import databases_of
from flask_testbed.application.guards import check_target
from flask_testbed.application.target import target_of
from flask_testbed.errors import RefusedError, SettingsError
from flask_testbed.postgres.addresses import is_same_database
from flask_testbed.sandbox.names import Keeping
from flask_testbed.sandbox.sandbox import Sandbox
from tests.support.forwarding import forwarding_to
from tests.support.processes import assert_no_password
from tests.support.servers import Stock
from tests.support.toys import Toys

CHANGING = ["create", "reset", "reset --force", "drop", "drop --force", "drop --yes"]
CHANGING += ["snapshot save one", "snapshot restore one --force"]


@pytest.fixture
def tunnel(stock: Stock) -> Iterator[int]:
    """Another port of the server, which no comparison of addresses recognises."""
    with forwarding_to(stock.port) as port:
        yield port


def bound_app(default: str, **binds: str) -> Flask:
    """An application with further databases."""
    app, db = Flask("toy"), SQLAlchemy()
    app.config["SQLALCHEMY_DATABASE_URI"] = default
    app.config["SQLALCHEMY_BINDS"] = binds
    db.init_app(app)
    Testbed(app)
    return app


# By its address


def test_the_own_database_on_the_embedded_development_server(
    toys: Toys, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = development_url(tmp_path / "instance", "shop_test")
    app = toys.app(own)

    for url in (own, own.replace("+psycopg", ""), own.replace("postgres@", "")):
        environment.setenv("TEST_DATABASE_URL", url)
        for command in CHANGING:
            outcome = toys.run(app, "test-db", *command.split())
            outcome.assert_says("Refused: 'shop_test' is the application's own database")


@pytest.mark.parametrize("how", ["?service", "PGSERVICE", "PGDATABASE", "the user", "hosts"])
def test_the_own_database_as_libpq_finds_it(
    stock: Stock, environment: pytest.MonkeyPatch, tmp_path: Path, how: str, toys: Toys
) -> None:
    services = tmp_path / "services"
    services.write_text(f"[shop]\nhost=127.0.0.1\nport={stock.port}\ndbname=own_test\n")
    environment.setenv("PGSERVICEFILE", str(services))
    environment.setenv("TEST_DATABASE_URL", stock.url("own_test"))
    server = f"postgresql+psycopg://own_test@127.0.0.1:{stock.port}"
    own = {
        "?service": "postgresql+psycopg://?service=shop",
        "PGSERVICE": "postgresql+psycopg://",
        "PGDATABASE": server.replace("own_test", "boss"),
        "the user": server,
        "hosts": f"postgresql+psycopg:///own_test?host=127.0.0.1:1&host=127.0.0.1:{stock.port}",
    }[how]
    if how == "PGSERVICE":
        environment.setenv("PGSERVICE", "shop")
    if how == "PGDATABASE":
        environment.setenv("PGDATABASE", "own_test")

    app = toys.app(own)
    (database,) = databases_of(app)

    with pytest.raises(RefusedError, match="'own_test' is the application's own database"):
        check_target(target_of(database))


def test_the_own_database_of_another_bind(toys: Toys) -> None:
    app = bound_app("postgresql+psycopg://h/shop", stats="postgresql+psycopg://h/shop_test")

    for command in CHANGING:
        outcome = toys.run(app, "test-db", *command.split())
        outcome.assert_says("Refused: 'shop_test' is the application's own database")


@pytest.mark.parametrize("where", ["configuration", "extension", "bind"])
def test_the_own_database_that_connect_args_name(where: str) -> None:
    options = {"connect_args": {"dbname": "shop_test"}}
    app, db = Flask("toy"), SQLAlchemy(engine_options=options if where == "extension" else None)
    app.config["SQLALCHEMY_DATABASE_URI"] = "postgresql+psycopg://h/shop"
    if where == "configuration":
        app.config["SQLALCHEMY_ENGINE_OPTIONS"] = options
    if where == "bind":
        stats = {"url": "postgresql+psycopg://h/stats", **options}
        app.config["SQLALCHEMY_BINDS"] = {"stats": stats}
    db.init_app(app)

    with pytest.raises(RefusedError, match="'shop_test' is the application's own database"):
        check_target(target_of(databases_of(app)[0]), "shop_test")


# By what the server says


@pytest.mark.parametrize("role", ["boss", "maker"])
def test_the_own_database_at_another_address(
    stock: Stock, toys: Toys, environment: pytest.MonkeyPatch, tunnel: int, role: str
) -> None:
    victim = stock.create("own_test", role)
    stock.label("own_test")
    environment.setenv("TEST_DATABASE_URL", stock.url("own_test", role))
    for other in (role, "weak"):
        app = toys.app(stock.url("own_test", other, port=tunnel))
        (database,) = databases_of(app)
        assert not is_same_database(target_of(database).url, database.own_url)
        for command in CHANGING:
            outcome = toys.run(app, "test-db", *command.split())
            outcome.assert_says("Refused: 'own_test' on ", "is the application's own database")
            assert_no_password(outcome, stock.password)

    victim.assert_untouched()


@pytest.mark.parametrize("keeping", [Keeping(), Keeping(reuse=True), Keeping(True, anew=True)])
def test_a_run_does_not_use_the_own_database_at_another_address(
    stock: Stock, toys: Toys, tunnel: int, keeping: Keeping, environment: pytest.MonkeyPatch
) -> None:
    victim = stock.create("own_test")
    stock.label("own_test", "run")
    environment.setenv("TEST_DATABASE_URL", stock.url("own_test"))
    sandbox = Sandbox.of(toys.app(stock.url("own_test", port=tunnel)), keeping=keeping)

    with pytest.raises(RefusedError, match="is the application's own database"):
        sandbox.url()

    sandbox.close()
    victim.assert_untouched()


def test_prune_does_not_drop_the_own_database_at_another_address(
    stock: Stock, toys: Toys, tunnel: int
) -> None:
    victim = stock.create("left_test")
    stock.label("left_test", "run")
    app = bound_app(
        toys.app(stock.url("own")).config["SQLALCHEMY_DATABASE_URI"],
        stats=stock.url("left_test", port=tunnel, drivername="postgresql+psycopg"),
    )

    assert toys.run(app, "test-db", "prune").out == "Nothing to drop.\n"

    victim.assert_untouched()


def test_the_right_to_read_the_servers_identifier_may_be_revoked(
    stock: Stock, toys: Toys, environment: pytest.MonkeyPatch, tunnel: int
) -> None:
    stock.create("own_test", "maker")
    stock.label("own_test")
    environment.setenv("TEST_DATABASE_URL", stock.url("own_test", "maker"))
    function = "FUNCTION pg_control_system()"
    for name in ("postgres", "own_test"):
        stock.rows(f"REVOKE EXECUTE ON {function} FROM PUBLIC", name)
    try:
        app = toys.app(stock.url("own_test", "maker", port=tunnel))
        toys.run(app, "test-db", "drop").assert_says("is the application's own database")
    finally:
        stock.rows(f"GRANT EXECUTE ON {function} TO PUBLIC")


def test_an_own_database_that_cannot_be_connected_to_is_known_by_its_address(
    stock: Stock, toys: Toys, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("TEST_DATABASE_URL", stock.url("own_test"))
    for own in (stock.url("absent"), "postgresql://127.0.0.1:1/own_test"):
        app = toys.app(own)
        for command in ("create", "reset", "drop"):
            outcome = toys.run(app, "test-db", command)
            assert outcome.status == 0, outcome.text


# Without a name


@pytest.mark.parametrize("own", ["postgresql://h", "postgresql://h/", "postgresql://?service=x"])
def test_an_own_url_without_a_database_is_one_sentence(
    toys: Toys, environment: pytest.MonkeyPatch, own: str
) -> None:
    app = toys.app(own)

    for command in ("url", "create", "drop"):
        toys.run(app, "test-db", command).assert_says(
            "SQLALCHEMY_DATABASE_URI names no database.", "TEST_DATABASE_URL"
        )
    environment.setenv("TEST_DATABASE_URL", "postgresql://elsewhere/x_test")
    assert toys.run(app, "test-db", "url").out == "postgresql://elsewhere/x_test\n"


def test_a_bind_without_a_database_is_one_sentence(toys: Toys) -> None:
    app = bound_app("postgresql+psycopg://h/shop", stats="postgresql+psycopg://h")

    with pytest.raises(SettingsError, match=r"SQLALCHEMY_BINDS\['stats'\] names no database"):
        target_of(databases_of(app)[1])


def test_a_name_in_the_query_is_that_of_the_own_database(toys: Toys) -> None:
    app = toys.app("postgresql://h/shop?dbname=market&sslmode=require")
    (database,) = databases_of(app)

    url = target_of(database).url

    assert (url.database, dict(url.query)) == ("market_test", {"sslmode": "require"})
