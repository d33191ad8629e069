"""``flask seed --reset`` on an external server asks, unless the testbed created the database."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_testbed import Scenarios, Seed
from flask_testbed.cli import seed as seed_commands
from flask_testbed.postgres.connecting import without_secrets
from flask_testbed.postgres.labels import Kind, Label
from tests.support.processes import Outcome
from tests.support.projects import Project
from tests.support.servers import Stock
from tests.support.toys import Toys

#: A label as a dump carries it to another database: pg_dump -C copies comments.
COPIED = str(Label.create(Kind.KEPT, "0" * 16).written_on("staging_test", 1))
SECRETS = {"password": "query-secret", "sslpassword": "key-secret"}


def make_app(toys: Toys, url: str) -> Flask:
    class Base(DeclarativeBase):
        pass

    db = SQLAlchemy(model_class=Base)

    class Word(db.Model):  # type: ignore[name-defined]
        id: Mapped[int] = mapped_column(primary_key=True)

    app = toys.app(url, db)
    scenarios = Scenarios()

    @scenarios.add("demo")
    def demo(seed: Any) -> None:
        seed.session.add(Word(id=7))

    scenarios.init_app(app)
    return app


def fill(stock: Stock, name: str, role: str = "boss", *, comment: str | None = None) -> None:
    """Make a database with the application's schema, and a row that must not be lost."""
    with stock.connect(role=role) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        if comment is not None:
            connection.execute(f"COMMENT ON DATABASE \"{name}\" IS '{comment}'")
    with stock.connect(name, role) as connection:
        connection.execute("CREATE TABLE word (id int PRIMARY KEY)")
        connection.execute("INSERT INTO word VALUES (1)")


def rows(stock: Stock, name: str) -> list[Any]:
    return stock.rows("SELECT id FROM word", name)


@pytest.mark.parametrize(
    ("name", "comment"),
    [
        ("staging_test", None),
        ("staging_test", "flask-testbed: not a label"),
        ("staging_test", COPIED),
        ("staging_test_gw0", "another program's"),
        ("shop", None),
    ],
)
@pytest.mark.parametrize("how", ["own", "--database-url"])
def test_a_name_alone_does_not_allow_emptying_a_database(
    stock: Stock, toys: Toys, name: str, how: str, comment: str | None
) -> None:
    comment = comment and comment.replace("'", "''")
    fill(stock, name, comment=comment)

    refused = seed(toys, stock, name, how)

    refused.assert_says("there is no terminal", "add --yes", name)
    assert stock.password not in refused.text
    assert seed(toys, stock, name, how, "--dry-run").status == 0
    assert rows(stock, name) == [1]
    assert seed(toys, stock, name, how, "--yes").status == 0
    assert rows(stock, name) == [7]


def seed(toys: Toys, stock: Stock, name: str, how: str, *more: str) -> Outcome:
    url = stock.url(name)
    if how == "own":
        return toys.run(make_app(toys, url), "seed", "demo", "--reset", *more)
    app = make_app(toys, stock.url("absent"))
    return toys.run(app, "seed", "demo", "--reset", how, url, *more)


def test_a_database_that_the_engine_has_made_is_emptied_at_once(
    stock: Stock, toys: Toys, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("TEST_DATABASE_URL", stock.url("made_test", "maker"))
    app = make_app(toys, stock.url("own", "maker"))
    assert toys.run(app, "test-db", "create").status == 0
    stock.rows("INSERT INTO word VALUES (1)", "made_test")

    url = stock.url("made_test", "maker")
    outcome = toys.run(app, "seed", "demo", "--reset", "--database-url", url)

    assert outcome.status == 0, outcome.text
    assert rows(stock, "made_test") == [7]


@pytest.mark.parametrize(
    ("name", "owner", "kind"),
    [("theirs_test", "maker", "kept"), ("shop", "boss", "kept"), ("x_test", "boss", "development")],
)
def test_a_label_counts_only_on_a_disposable_database_of_the_roles_own(
    stock: Stock, toys: Toys, name: str, owner: str, kind: str
) -> None:
    # Every role that may create databases can write one.
    fill(stock, name, owner)
    stock.label(name, kind)

    seed(toys, stock, name, "own").assert_says("there is no terminal")

    assert rows(stock, name) == [1]


def test_nothing_is_asked_where_nothing_is_lost(stock: Stock, toys: Toys) -> None:
    fill(stock, "shop")
    stock.rows("DELETE FROM word", "shop")

    outcome = seed(toys, stock, "shop", "own")

    assert outcome.status == 0, outcome.text
    assert rows(stock, "shop") == [7]


def test_rows_that_a_policy_hides_are_not_lost_unasked(stock: Stock, toys: Toys) -> None:
    fill(stock, "shop", "maker")
    with stock.connect("shop", "maker") as connection:
        connection.execute("ALTER TABLE word ENABLE ROW LEVEL SECURITY")
        connection.execute("ALTER TABLE word FORCE ROW LEVEL SECURITY")
        assert connection.execute("SELECT FROM word").rowcount == 0
    app = make_app(toys, stock.url("shop", "maker"))

    toys.run(app, "seed", "demo", "--reset").assert_says("there is no terminal")

    assert rows(stock, "shop") == [1]


def test_on_the_embedded_development_server_it_asks_too(project: Project) -> None:
    project.write(
        shop="""
            from flask_testbed import Scenarios, Seed
            from toyapp import create_app
            from models import Book
            app = create_app()
            scenarios = Scenarios()
            @scenarios.add("demo")
            def demo(seed):
                seed.session.add(Book(title="x"))
            scenarios.init_app(app)
        """
    )
    command = ("-m", "flask", "--app", "shop", "seed", "demo", "--reset")
    first, again, sure = (project.run(*command, *more) for more in ([], [], ["--yes"]))

    assert first.status == 0, first.text
    again.assert_says(
        "--reset would empty the application's tables in the development database 'toy'",
        "add --yes",
        "flask test-db snapshot save before --development",
    )
    assert sure.status == 0, sure.text


@pytest.mark.parametrize(
    ("answer", "status", "left"), [("y\n", 0, [7]), ("n\n", 1, [1]), ("", 1, [1])]
)
def test_on_a_terminal_it_asks_and_shows_no_password(
    stock: Stock,
    toys: Toys,
    environment: pytest.MonkeyPatch,
    answer: str,
    status: int,
    left: list[int],
) -> None:
    fill(stock, "staging_test")
    environment.setattr(seed_commands, "_is_terminal", lambda stream: True)
    url = stock.url("staging_test", query={"sslpassword": "key-secret", "sslmode": "prefer"})
    app = make_app(toys, url)

    result: Result = app.test_cli_runner().invoke(args=["seed", "demo", "--reset"], input=answer)

    assert result.exit_code == status
    assert "Empty the application's tables in postgresql+psycopg://" in result.output
    assert "sslpassword=***" in result.output
    for secret in (stock.password, "key-secret"):
        assert secret not in result.output
    assert rows(stock, "staging_test") == left


@pytest.mark.parametrize(
    ("port", "reason"), [(None, "password authentication failed"), (1, "Connection refused")]
)
@pytest.mark.parametrize("options", [[], ["--reset"]])
def test_a_database_that_is_down_is_named_without_its_passwords(
    stock: Stock, toys: Toys, port: int | None, reason: str, options: list[str]
) -> None:
    url = make_url(stock.url("absent_test")).set(password=None, query=SECRETS)
    text = (url if port is None else url.set(port=port)).render_as_string()

    outcome = toys.run(make_app(toys, text), "seed", "demo", *options)

    outcome.assert_says("Error: Nothing was written to postgresql+psycopg://", reason)
    assert outcome.out == ""
    assert len(outcome.err.splitlines()) == 1
    for secret in SECRETS.values():
        assert secret not in outcome.text


def test_every_secret_of_libpq_is_hidden() -> None:
    secrets = ["password", "sslpassword", "oauth_client_secret", "scram_client_key"]
    query = "&".join([f"{key}=hush" for key in secrets] + ["sslkey=/a/file", "sslmode=require"])

    said = without_secrets(make_url(f"postgresql://ada:hush@example.com/shop?{query}"))

    assert "hush" not in said
    assert "sslkey=" in said
    assert said.startswith("postgresql://ada:***@example.com/shop?")


@pytest.mark.parametrize("bind", ["same", "other"])
def test_another_database_leaves_every_own_one_alone(stock: Stock, toys: Toys, bind: str) -> None:
    """The binds lead to the own database, or to another one."""
    victims = [stock.create(name) for name in ("own", "own_other", "given")]
    urls = {
        name: stock.url(name, drivername="postgresql+psycopg")
        for name in (one.name for one in victims)
    }
    db = SQLAlchemy()
    binds = {"same": urls["own"], "other": urls["own_other"]}
    app = toys.app(urls["own"], db, SQLALCHEMY_BINDS=binds)
    scenarios = Scenarios()
    scenarios.init_app(app)

    @scenarios.add("write")
    def write(_: Seed) -> None:
        """Write by a bind."""
        with db.engines[bind].begin() as connection:
            connection.exec_driver_sql("INSERT INTO precious VALUES ('by the scenario')")

    outcome = toys.run(app, "seed", "write", "--database-url", urls["given"])

    words = stock.rows("SELECT word FROM precious", "given")
    if bind == "same":
        assert outcome.status == 0, outcome.text
        assert words == ["still here", "by the scenario"]
    else:
        outcome.assert_says("connects to the database of the bind 'other'")
        assert words == ["still here"]
    for victim in victims[:2]:
        victim.before = stock.databases()
        victim.assert_untouched()
