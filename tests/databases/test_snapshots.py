"""Named copies: saved, restored, listed, dropped; and what they never touch."""

from __future__ import annotations

import json

import pytest
from flask import Flask

from flask_testbed.postgres.labels import SNAPSHOT
from tests.support.processes import words
from tests.support.projects import Project
from tests.support.servers import Stock
from tests.support.toys import Toys

RESTORE = ["test-db", "snapshot", "restore", "before"]
SAVE = ["test-db", "snapshot", "save", "before"]


#: What is set on a database, and not in it.
SETTINGS = """
    SELECT json_build_array(d.datacl::text[], pg_get_userbyid(d.datdba),
        ARRAY(SELECT unnest(s.setconfig) FROM pg_db_role_setting s WHERE s.setdatabase = d.oid))
    FROM pg_database d WHERE d.datname = %s
"""
SET = """
    CREATE ROLE owner; ALTER DATABASE toy OWNER TO owner;
    ALTER DATABASE toy SET timezone TO 'Europe/Vienna'; REVOKE CONNECT ON DATABASE toy FROM PUBLIC
"""


@pytest.fixture
def shop(stock: Stock, toys: Toys) -> Flask:
    """An application with a test database."""
    app = toys.app(stock.url("own", "maker"))
    assert toys.run(app, "test-db", "create").status == 0
    return app


def titles(stock: Stock, name: str = "own_test") -> list[str]:
    return stock.rows("SELECT title FROM book ORDER BY 1", name)


def add(stock: Stock, title: str) -> None:
    stock.rows("INSERT INTO book (title) VALUES (%s)", "own_test", title)


def test_what_was_saved_comes_back_as_often_as_one_likes(
    stock: Stock, toys: Toys, shop: Flask
) -> None:
    add(stock, "first")
    saved = toys.run(shop, *SAVE)
    for title in ("second", "third"):
        add(stock, title)

        restored = toys.run(shop, *RESTORE)

        assert restored.status == 0, restored.text
        assert titles(stock) == ["first"]
    assert saved.out.startswith("Saved the snapshot before of own_test, in ")
    assert restored.out.startswith("Restored the snapshot before of own_test, in ")
    # Its sequences are those of then, and it is a test database as it was.
    assert stock.rows("SELECT nextval('book_id_seq')", "own_test") == [2]
    assert toys.run(shop, "test-db", "create").out.startswith("own_test exists already")


def test_a_snapshot_is_listed_and_dropped(stock: Stock, toys: Toys, shop: Flask) -> None:
    before = stock.databases()
    nothing = toys.run(shop, "test-db", "snapshot", "list")
    toys.run(shop, *SAVE)

    shown = toys.run(shop, "test-db", "snapshot", "list")
    (row,) = json.loads(toys.run(shop, "test-db", "snapshot", "list", "--json").out)
    dropped = toys.run(shop, "test-db", "snapshot", "drop", "before")

    assert nothing.out == "There is no snapshot of own_test.\n"
    assert shown.out.splitlines()[1].split()[:3] == ["before", "own_test", "0m"]
    assert (row["name"], row["of"]) == ("before", "own_test")
    assert row["database"].startswith(SNAPSHOT)
    assert row["size"] > 5_000_000
    assert dropped.out.startswith("Dropped the snapshot before of own_test")
    assert stock.databases() == before


def test_every_command_speaks_json(stock: Stock, toys: Toys, shop: Flask) -> None:
    for verb in ("save", "restore", "drop"):
        outcome = toys.run(shop, "test-db", "snapshot", verb, "before", "--json")
        said = json.loads(outcome.out)
        assert (said["name"], said["of"]) == ("before", "own_test")
        assert said["seconds"] > 0


@pytest.mark.parametrize("verb", ["save", "restore", "drop"])
@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", 'a"; DROP', "x" * 64, "ä", "a\n"])
def test_a_name_that_cannot_be_is_refused(toys: Toys, verb: str, name: str) -> None:
    app = toys.app("postgresql://127.0.0.1:1/own")

    outcome = toys.run(app, "test-db", "snapshot", verb, "--", name)

    outcome.assert_says(f"{name!r} cannot be the name of a snapshot", "ASCII letters")


def test_a_name_is_taken_once(stock: Stock, toys: Toys, shop: Flask) -> None:
    toys.run(shop, *SAVE)

    toys.run(shop, *SAVE).assert_says(
        "Refused: there is a snapshot 'before' of 'own_test' already",
        "flask test-db snapshot drop before",
    )


@pytest.mark.parametrize("verb", ["restore", "drop"])
def test_a_snapshot_that_is_not_there(toys: Toys, shop: Flask, verb: str) -> None:
    toys.run(shop, "test-db", "snapshot", verb, "nonsense").assert_says(
        "There is no snapshot 'nonsense' of 'own_test'", "flask test-db snapshot list"
    )


def test_it_comes_back_also_where_the_database_is_gone(
    stock: Stock, toys: Toys, shop: Flask
) -> None:
    add(stock, "first")
    toys.run(shop, *SAVE)
    toys.run(shop, "test-db", "drop")
    other = ["test-db", "snapshot", "save", "other"]
    toys.run(shop, *other).assert_says("There is no database 'own_test'", "test-db create")

    assert toys.run(shop, *RESTORE).status == 0
    assert titles(stock) == ["first"]


@pytest.mark.parametrize("command", words(SAVE, RESTORE))
def test_it_refuses_while_others_are_connected(
    stock: Stock, toys: Toys, shop: Flask, command: list[str]
) -> None:
    if command == RESTORE:
        toys.run(shop, *SAVE)
    before = stock.marks()
    with stock.connect("own_test") as other:
        toys.run(shop, *command).assert_says("'own_test' is in use by boss", "--force")
        assert stock.marks() == before
        assert other.execute("SELECT 1").fetchone() == (1,)
        # A superuser's connections are not those of `maker` to end.
        toys.run(shop, *command, "--force").assert_says("Cannot ", "'own_test'", "boss")
        assert stock.marks() == before
    with stock.connect("own_test", "maker"):
        forced = toys.run(shop, *command, "--force")
        assert forced.status == 0, forced.text


def test_it_refuses_what_is_not_the_testbeds(stock: Stock, toys: Toys) -> None:
    victim = stock.create("own_test")
    app = toys.app(stock.url("own"))

    toys.run(app, *SAVE).assert_says("Refused: the database 'own_test'", "not made by")
    victim.assert_untouched()


@pytest.mark.parametrize("verb", ["save", "restore"])
def test_it_refuses_the_own_database_on_a_server_of_ones_own(
    stock: Stock, toys: Toys, verb: str
) -> None:
    """It may be of worth to others, and to copy it locks them out."""
    victim = stock.create("own")
    app = toys.app(stock.url("own"))

    sure = ["--yes"] if verb == "restore" else []
    command = ["test-db", "snapshot", verb, "before", "--development", "--force", *sure]
    outcome = toys.run(app, *command)

    outcome.assert_says("Refused: the database 'own'", "not made by flask-testbed", "pg_dump")
    victim.assert_untouched()


@pytest.mark.parametrize("option", ["", "--development"])
@pytest.mark.parametrize("verb", ["save", "restore", "list", "drop"])
def test_it_refuses_in_production(
    stock: Stock, toys: Toys, shop: Flask, environment: pytest.MonkeyPatch, verb: str, option: str
) -> None:
    toys.run(shop, *SAVE)
    before = stock.marks()
    environment.setenv("APP_ENV", "production")
    name = [] if verb == "list" else ["before"]
    sure = ["--yes"] if verb == "restore" else []

    outcome = toys.run(shop, "test-db", "snapshot", verb, *name, *sure, *option.split())

    outcome.assert_says("Refused", "production")
    assert stock.marks() == before


def test_the_development_database_comes_back(project: Project) -> None:
    flask = ("-m", "flask", "--app", "toyapp")
    project.write(
        say="""
            import sys
            from toyapp import create_app
            from models import add, titles
            with create_app().app_context():
                for title in sys.argv[1:]:
                    add(title)
                print(titles())
        """,
        ask="""
            import sys
            from toyapp import create_app
            from models import db
            with create_app().app_context(), db.engine.connect() as connection:
                result = connection.exec_driver_sql(sys.argv[1])
                print(result.scalar() if result.returns_rows else "")
                connection.commit()
        """,
    )
    project.run("say.py", "first")
    project.run("ask.py", SET)
    settings = project.run("ask.py", SETTINGS % "'toy'")
    option = "--development"
    saved = project.run(*flask, *SAVE, option)
    project.run("say.py", "second")

    unasked = project.run(*flask, *RESTORE, option)
    assert project.run("say.py").out == "['first', 'second']\n"
    restored = project.run(*flask, *RESTORE, option, "--yes")

    assert saved.status == 0, saved.text
    unasked.assert_says("Refused: Replace the content of 'toy'?", "--yes")
    assert restored.status == 0, restored.text
    assert project.run("say.py").out == "['first']\n"
    assert project.run("ask.py", SETTINGS % "'toy'").out == settings.out
    assert "'owner', ['TimeZone=Europe/Vienna']" in settings.out
    listed = json.loads(project.run(*flask, "test-db", "snapshot", "list", option, "--json").out)
    assert [(one["name"], one["of"]) for one in listed] == [("before", "toy")]
    # The test database has others, on a server of its own.
    assert project.run(*flask, "test-db", "snapshot", "list").out == (
        "There is no snapshot of toy_test.\n"
    )


def test_what_is_set_on_the_database_stays(stock: Stock, toys: Toys, shop: Flask) -> None:
    stock.rows("ALTER DATABASE own_test SET work_mem TO '8MB'")
    toys.run(shop, *SAVE)
    stock.rows("ALTER DATABASE own_test SET work_mem TO '9MB'")
    stock.rows("REVOKE CONNECT ON DATABASE own_test FROM PUBLIC")
    before = stock.rows(SETTINGS, "postgres", "own_test")

    toys.run(shop, *RESTORE)
    assert stock.rows(SETTINGS, "postgres", "own_test") == before
    toys.run(shop, "test-db", "drop")
    toys.run(shop, *RESTORE)

    # Without a database, they are those of the snapshot.
    assert stock.rows(SETTINGS, "postgres", "own_test") == [[None, "maker", ["work_mem=8MB"]]]


def test_a_question_is_asked_only_where_yes_can_be_the_answer(
    toys: Toys, environment: pytest.MonkeyPatch, stock: Stock
) -> None:
    stock.create("own", "maker")
    app = toys.app(stock.url("own", "maker"))
    restore = [*RESTORE, "--development"]
    toys.run(app, *restore).assert_says("Refused: the database 'own'", "was not made by")

    stock.label("own", "development")
    toys.run(app, *restore).assert_says("There is no snapshot 'before' of 'own'")
    assert toys.run(app, *SAVE, "--development").status == 0
    with stock.connect("own"):
        toys.run(app, *restore).assert_says("'own' is in use by boss")
    toys.run(app, *restore).assert_says("Refused: Replace the content of 'own'?", "--yes")
    assert toys.run(app, *restore, "--yes").status == 0
