"""The ``test-db`` commands and ``manage.py test``: what they do, and every line they print."""

from __future__ import annotations

import json
import re
import signal
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from flask import Flask

from flask_testbed.cli import test_db as database_commands
from flask_testbed.cli.test import pytest_arguments
from flask_testbed.databases.servers import cluster_of
from flask_testbed.databases.test_database import TestDatabase
from flask_testbed.postgres.labels import TEMPLATE, UNFINISHED, Kind, Label
from tests.support.processes import assert_no_password, finish, words
from tests.support.projects import Project, write_manage
from tests.support.servers import Stock
from tests.support.toys import Toys, toy_db
from tests.support.waiting import wait_for


@pytest.fixture
def shop(stock: Stock, toys: Toys) -> Flask:
    """An application whose own database is on the stock server (an ``app`` would be adopted)."""
    return toys.app(stock.url("own", "maker"))


def titles(stock: Stock) -> list[str]:
    return stock.rows("SELECT title FROM book", "own_test")


def test_create_says_where_and_what_and_how_long(stock: Stock, toys: Toys, shop: Flask) -> None:
    outcome = toys.run(shop, "test-db", "create")

    assert outcome.status == 0
    assert re.fullmatch(
        rf"Created own_test on 127\.0\.0\.1:{stock.port}"
        r" \(the server of SQLALCHEMY_DATABASE_URI\): 2 tables from the models, in [\d,]+ ms\.\n",
        outcome.out,
    )
    assert outcome.err == ""
    # On an external server, nothing stays but what was asked for.
    assert set(stock.databases()) == {"own_test", "postgres", "template0", "template1"}
    assert titles(stock) == []


def test_create_again_finds_it_and_leaves_it(stock: Stock, toys: Toys, shop: Flask) -> None:
    toys.run(shop, "test-db", "create")
    stock.rows("INSERT INTO book (title) VALUES ('kept')", "own_test")

    outcome = toys.run(shop, "test-db", "create")

    assert outcome.status == 0
    assert outcome.out.startswith("own_test exists already, with the current schema")
    assert titles(stock) == ["kept"]


def test_create_refuses_one_of_another_schema(stock: Stock, toys: Toys) -> None:
    toys.run(toys.app(stock.url("own")), "test-db", "create")
    other = toy_db()
    other.metadata.tables["book"].append_column(other.Column("pages", other.Integer))
    shop = toys.app(stock.url("own"), other)

    refused = toys.run(shop, "test-db", "create")
    reset = toys.run(shop, "test-db", "reset")

    refused.assert_says("Refused: the database 'own_test' is there already", "test-db reset")
    assert reset.status == 0
    assert stock.rows("SELECT pages FROM book", "own_test") == []


def test_reset_empties_it(stock: Stock, toys: Toys, shop: Flask) -> None:
    toys.run(shop, "test-db", "create")
    stock.rows("INSERT INTO book (title) VALUES ('gone')", "own_test")

    outcome = toys.run(shop, "test-db", "reset")

    assert outcome.status == 0
    assert outcome.out.startswith("Reset own_test on ")
    assert titles(stock) == []


@pytest.mark.parametrize("command", words(["reset"], ["shell"]))
def test_without_a_database_a_command_says_how_to_make_one(
    toys: Toys, shop: Flask, command: list[str]
) -> None:
    toys.run(shop, "test-db", *command).assert_says(
        "There is no test database 'own_test' on 127.0.0.1:", "flask test-db create"
    )


def test_drop_drops_it_and_then_there_is_nothing_to_drop(
    stock: Stock, toys: Toys, shop: Flask
) -> None:
    before = stock.databases()
    toys.run(shop, "test-db", "create")

    first, second = (toys.run(shop, "test-db", "drop") for _ in range(2))

    assert (first.status, first.out) == (0, "Dropped own_test.\n")
    assert (second.status, second.out) == (0, "There is no own_test: nothing to drop.\n")
    assert stock.databases() == before


def test_status_is_a_table(stock: Stock, toys: Toys, shop: Flask) -> None:
    nothing = toys.run(shop, "test-db", "status")
    toys.run(shop, "test-db", "create").assert_says("Created own_test", status=0)
    with stock.connect("own_test"):
        shown = toys.run(shop, "test-db", "status")

    assert nothing.out == "There is no own_test. Create it with: flask test-db create\n"
    headings, row = shown.out.splitlines()
    assert re.split(r" {2,}", headings) == (
        ["database", "kind", "schema", "made by", "age", "MB", "used by"]
    )
    cells = re.split(r" {2,}", row)
    assert cells[:3] == ["own_test", "kept", "current"]
    assert cells[4] == "0m"
    assert float(cells[5]) > 5
    assert cells[6] == "1"


def test_status_fits_a_terminal_of_80_columns(stock: Stock, toys: Toys) -> None:
    long = "a_name_that_is_as_long_as_it_may_be"
    app = toys.app(stock.url(long))
    toys.run(app, "test-db", "create")
    label = Label.create(Kind.RUN, "0" * 16)
    with closing(cluster_of(TestDatabase(app).target)) as run:
        for name in (f"{long}_test_12_gw11", UNFINISHED + "0" * 12, TEMPLATE + "0" * 16):
            stock.create(name)
            run.set_label(name, label)
        assert run.locks.try_lock(f"{long}_test_12_gw11")
        with stock.connect(f"{long}_test_12_gw11"):
            shown = toys.run(app, "test-db", "status")

    assert "_test_12_gw11" in shown.out
    assert "a run, 1" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80


def test_status_for_another_program(stock: Stock, toys: Toys, shop: Flask) -> None:
    assert json.loads(toys.run(shop, "test-db", "status", "--json").out) == []
    stock.create("own_test", role="maker")

    (row,) = json.loads(toys.run(shop, "test-db", "status", "--json").out)

    assert row["name"] == "own_test"
    assert row["kind"] == "foreign"
    assert row["made_by"] == "maker"
    assert row["current"] is None
    assert row["size"] > 5_000_000
    assert (row["connections"], row["in_use"]) == (0, False)


def test_status_knows_a_schema_that_is_not_the_applications(stock: Stock, toys: Toys) -> None:
    toys.run(toys.app(stock.url("own")), "test-db", "create")
    other = toy_db()
    other.metadata.tables["book"].append_column(other.Column("pages", other.Integer))

    outcome = toys.run(toys.app(stock.url("own"), other), "test-db", "status", "--json")

    assert [row["current"] for row in json.loads(outcome.out)] == [False]


def test_url_on_the_embedded_server_says_that_it_must_be_up(toys: Toys) -> None:
    outcome = toys.run(toys.app(None), "test-db", "url")

    assert outcome.status == 0
    assert re.fullmatch(r"postgresql://postgres@/toy_test\?host=\S+\n", outcome.out)
    assert outcome.err == "The embedded server runs only while it is used: flask test-db serve\n"


def test_url_never_prints_the_password(stock: Stock, toys: Toys, shop: Flask) -> None:
    outcome = toys.run(shop, "test-db", "url")

    assert outcome.status == 0
    assert_no_password(outcome, stock.password)
    assert outcome.err == "The password is left out: set PGPASSWORD.\n"


@pytest.mark.parametrize("command", sorted(database_commands.test_db.commands))
def test_help_has_an_example(toys: Toys, shop: Flask, command: str) -> None:
    outcome = toys.run(shop, "test-db", command, "--help")

    assert outcome.status == 0
    example = outcome.out.partition("Example:\n")[2].splitlines()[0]
    assert f"test-db {command}" in example


def test_help_of_the_group_and_of_test_have_examples(toys: Toys, shop: Flask) -> None:
    group, test = toys.run(shop, "test-db", "--help"), toys.run(shop, "test", "--help")

    assert (group.status, test.status) == (0, 0)
    assert "flask test-db shell -- -c '\\dt'" in group.out
    assert "python manage.py test tests/integration -k agent -x" in test.out


@pytest.mark.parametrize(
    "command",
    words(["nonsense"], ["create", "extra"], ["drop", "--nonsense"], ["status", "--json=x"]),
)
def test_a_usage_error_exits_with_2(toys: Toys, shop: Flask, command: list[str]) -> None:
    outcome = toys.run(shop, "test-db", *command)

    outcome.assert_says("Error: ", status=2)


# The rest needs processes: psql, Ctrl-C, the two ways to call a command, pytest


def test_manage_and_flask_agree_and_test_leaves_nothing(project: Project, stock: Stock) -> None:
    write_manage(project)
    environment = {"DATABASE_URL": stock.url("own"), "FLASK_APP": "manage.py"}
    before = stock.databases()

    created = project.run("manage.py", "test-db", "create", **environment)
    found = project.run("-m", "flask", "test-db", "create", **environment)
    dropped = project.run("-m", "flask", "test-db", "drop", **environment)

    assert created.out.startswith("Created own_test on ")
    assert found.out.startswith("own_test exists already, with the current schema")
    assert dropped.out == "Dropped own_test.\n"
    assert stock.databases() == before


def test_serve_keeps_the_embedded_server_up_until_ctrl_c(
    project: Project, environment: pytest.MonkeyPatch
) -> None:
    environment.delenv("TOY_INSTANCE")  # the server that projects share does not stop
    created = project.run("-m", "flask", "--app", "toyapp", "test-db", "create")
    assert created.status == 0, created.text

    with project.start("-m", "flask", "--app", "toyapp", "test-db", "serve") as serving:
        assert serving.stdout is not None
        first, second = serving.stdout.readline(), serving.stdout.readline()
        url = first.removeprefix("Serving ").strip()
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT count(*) FROM book").fetchone()
        listed = project.run(
            "-m", "flask", "--app", "toyapp", "test-db", "shell", "--", "-Atc", "SELECT 6 * 7"
        )
        failed = project.run(
            "-m", "flask", "--app", "toyapp", "test-db", "shell", "--", "-c", "nonsense"
        )
        outcome = finish(serving, signal.SIGINT)

    assert row == (0,)
    assert second == "Press Ctrl-C to stop.\n"
    assert (listed.status, listed.out) == (0, "42\n")
    assert failed.status == 1
    assert 'syntax error at or near "nonsense"' in failed.err
    assert (outcome.status, outcome.out, outcome.err) == (0, "Stopped.\n", "")

    def stopped() -> bool:
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)
        return True

    sockets = Path(re.search(r"host=([^&\s]+)", url.replace("%2F", "/"))[1])  # type: ignore[index]
    wait_for(lambda: not (sockets / ".s.PGSQL.5432").exists(), "the server to stop")
    assert stopped()


def test_serve_on_another_server_says_that_there_is_nothing_to_do(toys: Toys, shop: Flask) -> None:
    toys.run(shop, "test-db", "serve").assert_says("There is nothing to serve", "127.0.0.1:")


def test_the_integration_tests_are_run_unless_a_path_is_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert pytest_arguments(("-x",))[2:] == ["-x"]

    (tmp_path / "tests" / "integration").mkdir(parents=True)

    assert pytest_arguments(("-x",))[2:] == ["-x", "tests/integration"]
    assert pytest_arguments(("tests::test_it", "-x"))[2:] == ["tests::test_it", "-x"]


def test_url_is_one_that_another_tool_takes(stock: Stock, toys: Toys) -> None:
    outcome = toys.run(toys.app(stock.url("own")), "test-db", "url")

    assert outcome.out == f"postgresql://boss@127.0.0.1:{stock.port}/own_test\n"


def test_shell_gets_the_password(stock: Stock, project: Project) -> None:
    flask = ("-m", "flask", "--app", "toyapp", "test-db")
    project.run(*flask, "create", DATABASE_URL=stock.url("own"))

    outcome = project.run(*flask, "shell", "--", "-Atc", "SELECT 42", DATABASE_URL=stock.url("own"))

    assert (outcome.status, outcome.out) == (0, "42\n"), outcome.text


def test_status_shows_a_database_that_it_may_not_enter(stock: Stock, toys: Toys) -> None:
    stock.create("own_test")
    stock.rows("REVOKE CONNECT ON DATABASE own_test FROM PUBLIC")

    outcome = toys.run(toys.app(stock.url("own", "maker")), "test-db", "status")

    assert outcome.status == 0
    assert "foreign" in outcome.out


def test_create_does_not_take_over_what_a_run_has_left_while_somebody_looks(
    stock: Stock, toys: Toys, project: Project
) -> None:
    project.write(test_it="from models import add\n\ndef test_it(app):\n    add('x')\n")
    project.pytest("--keep-db", DATABASE_URL=stock.url("own"))
    app = toys.app(stock.url("own"))

    with stock.connect("own_test"):
        toys.run(app, "test-db", "create").assert_says("is in use by boss")

    assert toys.run(app, "test-db", "create").out.startswith("Created own_test")
