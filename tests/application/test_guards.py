"""What may not be destroyed: each rule, its words, and that nothing was touched."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL, make_url

from flask_testbed.application.guards import check_target
from flask_testbed.application.target import Target
from flask_testbed.databases.servers import cluster_of
from flask_testbed.databases.test_database import TestDatabase
from flask_testbed.errors import RefusedError
from flask_testbed.postgres import addresses
from flask_testbed.postgres.addresses import is_same_database
from tests.support.processes import assert_no_password, words
from tests.support.projects import Project
from tests.support.servers import Stock
from tests.support.toys import Toys

# Each test tries them all on one server: to make the victims is what takes the time.
TOUCHING = [["create"], ["reset"], ["reset", "--force"], ["drop"], ["drop", "--force"]]
CHANGING = [*TOUCHING, ["drop", "--yes"], ["drop", "--yes", "--force"]]


def target(test: str, own: str | None = None, *, production: str = "") -> Target:
    """A target of these URLs."""
    url: URL = make_url(test).set(drivername="postgresql+psycopg")
    source = "TEST_DATABASE_URL"
    return Target(url, source, False, (make_url(own),) if own else (), Path("/i"), production)


# By name and place alone


@pytest.mark.parametrize(
    "name", ["x_test", "x_test_2", "x_test_gw0", "x_test_12_gw3", "_test_test"]
)
def test_a_name_that_ends_in_test_may_be_destroyed(name: str) -> None:
    check_target(target(f"postgresql://h/{name}"))


OTHER = ["production", "test", "_test", "x_tests", "x_testing", "test_x", "x_test_gw", "x_test_old"]
OTHER += ["x_TEST", "x_test_gw0_2", "x_test\n", "x_test_gw1x"]


@pytest.mark.parametrize("name", OTHER)
def test_another_name_may_not(name: str) -> None:
    with pytest.raises(RefusedError) as refused:
        check_target(target(f"postgresql://h/{'y_test'}"), name)

    assert repr(name) in str(refused.value)
    assert "does not end in '_test'" in str(refused.value)
    assert "TEST_DATABASE_URL" in str(refused.value)


@pytest.mark.parametrize("name", ["postgres", "template0", "template1"])
def test_the_servers_own_databases_may_not(name: str) -> None:
    with pytest.raises(RefusedError, match="a database of the server's own") as refused:
        check_target(target(f"postgresql://h/{name}"))

    assert repr(name) in str(refused.value)


def test_nothing_may_in_production() -> None:
    with pytest.raises(RefusedError, match="production configuration") as refused:
        check_target(target("postgresql://h/x_test", production="APP_ENV='prd'"))

    assert "'x_test'" in str(refused.value)
    assert "(APP_ENV='prd')" in str(refused.value)
    assert "APP_ENV=development" in str(refused.value)


def test_the_applications_own_database_may_not_by_another_of_its_targets_names() -> None:
    own = "postgresql://h/x_test_2"
    check_target(target("postgresql://h/x_test", own))

    with pytest.raises(RefusedError, match="the application's own database"):
        check_target(target("postgresql://h/x_test", own), "x_test_2")


SAME = [
    ("postgresql://h/x_test", "postgresql://h/x_test"),
    ("postgresql://h/x_test", "postgresql://h:5432/x_test"),
    ("postgresql://ada@h/x_test", "postgresql://bob:b@h/x_test?sslmode=require"),
    ("postgresql://localhost/x_test", "postgresql://127.0.0.1/x_test"),
    ("postgresql://localhost/x_test", "postgresql://LOCALHOST/x_test"),
    ("postgresql://localhost/x_test", "postgresql://[::1]/x_test"),
    ("postgresql://localhost/x_test", "postgresql:///x_test"),
    ("postgresql://127.0.0.1/x_test", "postgresql:///x_test?host=/var/run/postgresql"),
    ("postgresql:///x_test?host=/tmp", "postgresql:///x_test?host=/var/run/postgresql"),
    ("postgresql:///x_test?host=/tmp&port=6000", "postgresql://localhost:6000/x_test"),
    ("postgresql:///x_test?hostaddr=127.0.0.1", "postgresql://localhost/x_test"),
    ("postgresql://no.such.host.invalid/x_test", "postgresql://no.such.host.invalid/x_test"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_a_database_is_the_same_however_it_is_written(one: str, other: str) -> None:
    assert is_same_database(make_url(one), make_url(other))
    assert is_same_database(make_url(other), make_url(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("postgresql://h/x_test", "postgresql://h/y_test"),
        ("postgresql://localhost/x_test", "postgresql://localhost:5433/x_test"),
        ("postgresql://10.0.0.1/x_test", "postgresql://10.0.0.2/x_test"),
        ("postgresql://10.0.0.1/x_test", "postgresql://localhost/x_test"),
    ],
)
def test_other_databases_are_not(one: str, other: str) -> None:
    assert not is_same_database(make_url(one), make_url(other))


def test_a_host_is_the_same_by_each_of_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"one": ["10.1.1.1"], "two": ["10.2.2.2", "10.1.1.1"], "three": ["10.3.3.3"]}

    def look_up(host: str, port: None) -> list[Any]:
        return [(None, None, None, "", (address, 0)) for address in found[host]]

    monkeypatch.setattr(addresses, "getaddrinfo", look_up)

    def url(host: str) -> URL:
        return make_url(f"postgresql://{host}/x_test")

    assert is_same_database(url("one"), url("two"))
    assert not is_same_database(url("one"), url("three"))


# On a server, by the commands


@pytest.mark.parametrize("name", ["production", "postgres", "template1"])
def test_the_commands_refuse_a_database_by_its_name(
    stock: Stock, toys: Toys, environment: pytest.MonkeyPatch, name: str
) -> None:
    victim = stock.create("production")
    environment.setenv("TEST_DATABASE_URL", stock.url(name))
    app = toys.app(stock.url("own"))

    for command in CHANGING:
        outcome = toys.run(app, "test-db", *command)
        outcome.assert_says("Refused: ", f"{name!r}", "TEST_DATABASE_URL")
        assert_no_password(outcome, stock.password)

    victim.assert_untouched()


def test_the_commands_refuse_the_applications_own_database(
    stock: Stock, toys: Toys, environment: pytest.MonkeyPatch
) -> None:
    victim = stock.create("own_test")
    app = toys.app(stock.url("own_test"))
    socket_query = {"host": str(stock.home / "data"), "port": str(stock.port)}
    by_socket = URL.create("postgresql", "boss", database="own_test", query=socket_query)

    for url in (
        stock.url("own_test"),
        stock.url("own_test", "maker"),
        stock.url("own_test", host="localhost"),
        by_socket.render_as_string(),
    ):
        environment.setenv("TEST_DATABASE_URL", url)
        for command in CHANGING:
            outcome = toys.run(app, "test-db", *command)
            outcome.assert_says("Refused: 'own_test' is the application's own database")
            assert_no_password(outcome, stock.password)

    victim.assert_untouched()


def test_the_commands_refuse_a_database_without_the_mark(stock: Stock, toys: Toys) -> None:
    victim = stock.create("own_test", role="maker")
    app = toys.app(stock.url("own"))

    for comment in (None, "mine", "flask-testbed: nonsense", "flask-testbed: {}"):
        if comment is not None:
            stock.rows(f"COMMENT ON DATABASE own_test IS '{comment}'")
        for command in TOUCHING:
            toys.run(app, "test-db", *command).assert_says(
                "Refused: the database 'own_test'", "its owner is 'maker'", "test-db drop --yes"
            )

    victim.assert_untouched()


def test_yes_drops_a_test_database_without_the_mark(stock: Stock, toys: Toys) -> None:
    stock.create("own_test")

    outcome = toys.run(toys.app(stock.url("own")), "test-db", "drop", "--yes")

    assert (outcome.status, outcome.out) == (0, "Dropped own_test.\n")
    assert "own_test" not in stock.databases()


def test_yes_drops_nothing_of_a_similar_name(stock: Stock, toys: Toys) -> None:
    stock.create("own_test")
    for other in ("own_test_backup", "own_tests", "xown_test", "own_test_gw0"):
        stock.create(other)

    toys.run(toys.app(stock.url("own")), "test-db", "drop", "--yes")

    left = {"own_test_backup", "own_tests", "xown_test", "own_test_gw0"}
    assert left < set(stock.databases())


def test_the_commands_refuse_in_production(
    stock: Stock, toys: Toys, environment: pytest.MonkeyPatch
) -> None:
    app = toys.app(stock.url("own"))
    assert toys.run(app, "test-db", "create").status == 0
    before = stock.marks()

    for command in CHANGING:
        for variable in ("APP_ENV", "FLASK_ENV", "ENVIRONMENT"):
            environment.setenv(variable, "production")
            toys.run(app, "test-db", *command).assert_says("Refused: 'own_test'", "production")
            environment.delenv(variable)
        app.config["ENVIRONMENT"] = "production"
        toys.run(app, "test-db", *command).assert_says("Refused: 'own_test'", "production")
        del app.config["ENVIRONMENT"]

    assert stock.marks() == before


@pytest.mark.parametrize("command", words(["drop"], ["reset"]))
def test_a_command_refuses_while_others_are_connected(
    stock: Stock, toys: Toys, command: list[str]
) -> None:
    app = toys.app(stock.url("own"))
    toys.run(app, "test-db", "create")
    before = stock.marks()

    with stock.connect("own_test", "maker") as other:
        pid = other.info.backend_pid
        refused = toys.run(app, "test-db", *command)
        assert stock.marks() == before
        forced = toys.run(app, "test-db", *command, "--force")
        assert forced.status == 0, forced.text
        with pytest.raises(Exception, match="terminating connection"):
            other.execute("SELECT 1")

    refused.assert_says("in use by maker", f"process {pid}", "127.0.0.1", "--force")
    assert ("own_test" in stock.databases()) == (command == ["reset"])


def test_the_commands_refuse_while_a_run_holds_the_database(stock: Stock, toys: Toys) -> None:
    app = toys.app(stock.url("own"))
    toys.run(app, "test-db", "create")
    before = stock.marks()

    with closing(cluster_of(TestDatabase(app).target)) as run:
        assert run.locks.try_lock("own_test")
        for command in CHANGING:
            outcome = toys.run(app, "test-db", *command)
            outcome.assert_says("Refused: a test run is using the database 'own_test'")
        assert stock.marks() == before

    assert toys.run(app, "test-db", "drop").status == 0


def test_drop_drops_the_databases_of_workers_or_none(stock: Stock, toys: Toys) -> None:
    app = toys.app(stock.url("own"))
    toys.run(app, "test-db", "create")
    for worker in ("own_test_gw0", "own_test_2_gw1"):
        stock.create(worker)
        stock.label(worker)
    before = stock.marks()

    with stock.connect("own_test_gw0"):
        toys.run(app, "test-db", "drop").assert_says("'own_test_gw0' is in use")
    assert stock.marks() == before

    dropped = toys.run(app, "test-db", "drop")
    assert dropped.out == "Dropped own_test.\nDropped own_test_2_gw1.\nDropped own_test_gw0.\n"
    assert json.loads(toys.run(app, "test-db", "status", "--json").out) == []


# On a server, by pytest

TEST = "from models import add\n\ndef test_it(app):\n    add('x')\n"


@pytest.mark.parametrize(
    ("arguments", "name", "says"),
    [
        ([], "production", "does not end in '_test'"),
        ([], "own", "the application's own database"),
        (["-n2"], "postgres", "a database of the server's own"),
    ],
)
def test_a_run_refuses_and_touches_nothing(
    stock: Stock, project: Project, arguments: list[str], name: str, says: str
) -> None:
    stock.create("production")
    stock.create("theirs_test")
    own = stock.create("own")
    project.write(test_it=TEST)

    outcome = project.pytest(
        *arguments, TEST_DATABASE_URL=stock.url(name), DATABASE_URL=stock.url("own")
    )

    # xdist itself says 2 for a run that is stopped.
    outcome.assert_says(says, f"{name!r}", status=2 if arguments else 1)
    assert_no_password(outcome, stock.password)
    own.assert_untouched()
    for other in ("production", "theirs_test"):
        assert stock.rows("SELECT word FROM precious", other) == ["still here"]


def test_a_run_refuses_in_production(stock: Stock, project: Project) -> None:
    own = stock.create("own")
    project.write(test_it=TEST)

    outcome = project.pytest(DATABASE_URL=stock.url("own"), APP_ENV="production")

    outcome.assert_says("production configuration")
    own.assert_untouched()
