"""No server, or not the right: one clear sentence, and never a password."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from flask_testbed.errors import ServerError
from flask_testbed.postgres.connecting import address, connect, reason
from tests.support.processes import Outcome, assert_no_password
from tests.support.projects import Project
from tests.support.servers import Stock
from tests.support.toys import Toys

COMMANDS = [["create"], ["reset"], ["drop"], ["status"], ["shell"]]


@pytest.fixture
def nobody_listens() -> Iterator[int]:
    """A port on which nothing listens, held so that nothing will."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def run_each(toys: Toys, app: Any, *parts: str) -> list[Outcome]:
    """Run all commands that need the server; each must say the parts."""
    outcomes = [toys.run(app, "test-db", *command) for command in COMMANDS]
    for outcome in outcomes:
        outcome.assert_says(*parts)
        assert outcome.out == ""
        assert outcome.err.startswith("Error: ")
        assert len(outcome.err.strip().splitlines()) == 1
    return outcomes


def test_no_server(toys: Toys, environment: pytest.MonkeyPatch, nobody_listens: int) -> None:
    url = f"postgresql://ada:geheim@127.0.0.1:{nobody_listens}/x_test"
    environment.setenv("TEST_DATABASE_URL", url)

    outcomes = run_each(
        toys,
        toys.app("postgresql://h/own"),
        f"Cannot connect to PostgreSQL at 127.0.0.1:{nobody_listens} (TEST_DATABASE_URL)",
        "onnection refused",
        "Check that the server runs",
    )

    for outcome in outcomes:
        assert_no_password(outcome, "geheim")


def test_an_unknown_host(toys: Toys, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TEST_DATABASE_URL", "postgresql://ada:geheim@no.such.host.invalid/x_test")

    outcome = toys.run(toys.app("postgresql://h/own"), "test-db", "create")

    outcome.assert_says("Cannot connect to PostgreSQL at no.such.host.invalid")
    assert_no_password(outcome, "geheim")


def test_a_wrong_password(stock: Stock, toys: Toys) -> None:
    wrong = make_url(stock.url("own", "maker")).set(password="geheim")

    outcomes = run_each(
        toys,
        toys.app(wrong.render_as_string(hide_password=False)),
        'password authentication failed for user "maker"',
        "(the server of SQLALCHEMY_DATABASE_URI)",
    )

    for outcome in outcomes:
        assert_no_password(outcome, "geheim")


def test_a_role_that_is_not_there(stock: Stock, toys: Toys) -> None:
    app = toys.app(stock.url("own", "nobody"))

    assert_no_password(run_each(toys, app, "authentication failed")[0], stock.password)


def test_no_right_to_create_databases(stock: Stock, toys: Toys) -> None:
    before = stock.databases()

    outcome = toys.run(toys.app(stock.url("own", "weak")), "test-db", "create")

    outcome.assert_says(
        "Cannot make a test database on 127.0.0.1:",
        "the user 'weak' has no right to create databases",
        'ALTER ROLE "weak" CREATEDB;',
    )
    assert_no_password(outcome, stock.password)
    assert stock.databases() == before


def test_a_database_of_another_role_cannot_be_dropped(stock: Stock, toys: Toys) -> None:
    toys.run(toys.app(stock.url("own")), "test-db", "create")

    outcome = toys.run(toys.app(stock.url("own", "maker")), "test-db", "drop", "--yes")

    outcome.assert_says("Cannot drop the database 'own_test': must be owner of database own_test.")
    assert "own_test" in stock.databases()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://ada:geheim@h/x_test", "only PostgreSQL through psycopg 3 is supported"),
        ("postgresql://ada:geheim@h:port/x_test", "TEST_DATABASE_URL is not a database URL."),
        ("geheim", "TEST_DATABASE_URL is not a database URL."),
        ("postgresql://ada:geheim@h", "TEST_DATABASE_URL names no database."),
        (f"postgresql://ada:geheim@h/{'x' * 65}_test", "is 70 bytes long"),
        ("postgresql://ada:geheim@h/it's_test", "holds characters that need quoting"),
        ('postgresql://ada:geheim@h/"x"_test', "holds characters that need quoting"),
    ],
)
def test_a_setting_that_cannot_be_used(
    toys: Toys, environment: pytest.MonkeyPatch, url: str, says: str
) -> None:
    environment.setenv("TEST_DATABASE_URL", url)
    app = toys.app("postgresql://h/own")

    for outcome in [*run_each(toys, app, says), toys.run(app, "test-db", "url")]:
        outcome.assert_says(says)
        assert_no_password(outcome, "geheim")


def test_the_commands_agree_in_a_process_of_their_own(
    project: Project, nobody_listens: int
) -> None:
    url = f"postgresql://ada:geheim@127.0.0.1:{nobody_listens}/own"

    outcome = project.run("-m", "flask", "--app", "toyapp", "test-db", "create", DATABASE_URL=url)

    outcome.assert_says("Cannot connect to PostgreSQL at 127.0.0.1:")
    assert_no_password(outcome, "geheim")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://ada:geheim@127.0.0.1:{port}/x_test", "Cannot connect to PostgreSQL at 127"),
        ("mysql://ada:geheim@h/x_test", "only PostgreSQL through psycopg 3 is supported"),
    ],
)
def test_a_run_ends_in_one_sentence(
    project: Project, nobody_listens: int, url: str, says: str
) -> None:
    tests = "from models import add\n\ndef test_{}(app):\n    add('x')\n"
    project.write(test_it="\n".join(tests.format(n) for n in ("one", "two", "three")))

    outcome = project.pytest(TEST_DATABASE_URL=url.format(port=nobody_listens))

    outcome.assert_says(says)
    assert_no_password(outcome, "geheim")
    # It is said of the first test; to try the others would take as long again.
    assert sum(outcome.counts().values()) == 1, outcome.text


def test_a_run_without_the_right_to_create_databases(stock: Stock, project: Project) -> None:
    before = stock.databases()
    project.write(test_it="from models import add\n\ndef test_it(app):\n    add('x')\n")

    outcome = project.pytest(DATABASE_URL=stock.url("own", "weak"))

    outcome.assert_says("the user 'weak' has no right to create databases")
    assert_no_password(outcome, stock.password)
    assert stock.databases() == before


def test_where_a_server_is_names_neither_user_nor_password() -> None:
    url = make_url("postgresql://ada:geheim@h:5433/x?sslpassword=geheim")

    assert address(url) == "h:5433"
    assert address(make_url("postgresql:///x")) == "the local socket"
    assert address(make_url("postgresql:///x?host=/run/pg")) == "/run/pg"


def test_what_a_server_said_fits_in_a_line(stock: Stock) -> None:
    url = make_url(stock.url("nonsense")).set(drivername="postgresql+psycopg")

    with pytest.raises(ServerError) as failed:
        connect(url, setting="S")

    assert 'S): database "nonsense" does not exist. Check' in str(failed.value)
    assert "\n" not in str(failed.value)
    cause: Any = failed.value.__cause__
    assert reason(cause) == 'database "nonsense" does not exist'


def test_the_engine_says_who_it_is(stock: Stock) -> None:
    url = make_url(stock.url("postgres")).set(drivername="postgresql+psycopg")

    with connect(url, setting="S") as connection:
        row = connection.execute("SHOW application_name").fetchone()

    assert row == ("flask-testbed",)
