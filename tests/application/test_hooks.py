"""What an application adds to its templates, and what makes a new one."""

from __future__ import annotations

import importlib.util
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import flask_migrate
import pytest
from flask import Flask
from sqlalchemy import text

from flask_testbed import SettingsError, Testbed
from flask_testbed.application.databases import database_of
from flask_testbed.application.schema import find_schema
from tests.support.migrations import MIGRATION, write_migrations
from tests.support.projects import Project
from tests.support.servers import Stock
from tests.support.toys import Toys

MODULE = """
    WORD = "one"

    def rows(session):
        session.execute(text("INSERT INTO book (title) VALUES (:word)"), {"word": word()})

    def word():
        return WORD

    from sqlalchemy import text
"""


def module(folder: Path, source: str) -> ModuleType:
    """A module with a hook in it, imported anew."""
    path = folder / "toy_hooks.py"
    path.write_text(textwrap.dedent(source))
    spec = importlib.util.spec_from_file_location("toy_hooks", path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def hooked(app: Flask, folder: Path, source: str = MODULE) -> Flask:
    testbed = Testbed(app)
    testbed.template_hook(module(folder, source).rows)
    return app


def fingerprint(app: Flask) -> str:
    return find_schema(database_of(app)).fingerprint


def test_extensions_and_hooks_are_in_the_database(stock: Stock, toys: Toys, tmp_path: Path) -> None:
    app = toys.app(stock.url("own", "maker"))
    testbed = Testbed(app, extensions=["citext"])

    @testbed.template_hook
    def greet(session) -> None:  # type: ignore[no-untyped-def]
        session.execute(text("INSERT INTO book (title) VALUES ('Hello'::citext)"))

    outcome = toys.run(app, "test-db", "create")

    assert outcome.status == 0, outcome.text
    found = stock.rows("SELECT title FROM book WHERE title::citext = 'hELLO'", "own_test")
    assert found == ["Hello"]


def test_a_hook_that_is_edited_makes_a_new_template(toys: Toys, tmp_path: Path) -> None:
    app = toys.app("postgresql://h/own")
    without = fingerprint(app)
    before = fingerprint(hooked(app, tmp_path))

    again = fingerprint(hooked(app, tmp_path))
    body = fingerprint(hooked(app, tmp_path, MODULE.replace(":word)", ":word )")))
    beside = fingerprint(hooked(app, tmp_path, MODULE.replace('"one"', '"two"')))

    assert before == again
    assert len({without, before, body, beside}) == 4


def test_an_extension_that_is_added_makes_a_new_template(toys: Toys) -> None:
    app = toys.app("postgresql://h/own")
    before = fingerprint(app)

    Testbed(app, extensions=["citext"])

    assert fingerprint(app) != before


def test_a_file_that_hooks_read_makes_a_new_template(toys: Toys, tmp_path: Path) -> None:
    app = toys.app("postgresql://h/own")
    app.root_path = str(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    (data / "countries.csv").write_text("AT")
    Testbed(app, depends_on=["data"])
    before = fingerprint(app)

    (data / "countries.csv").write_text("DE")

    assert fingerprint(app) != before
    Testbed(app, depends_on=["data", "nowhere.csv"])
    with pytest.raises(SettingsError, match=r"There is no '.*nowhere\.csv'"):
        fingerprint(app)


def test_a_module_that_a_migration_imports_makes_a_new_template(
    toys: Toys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "toy_words"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "kinds.py").write_text("KIND = 1")
    (package / "unused.py").write_text("KIND = 1")
    monkeypatch.syspath_prepend(tmp_path)
    migrations = tmp_path / "migrations"
    write_migrations(migrations, MIGRATION + "        from toy_words import kinds\n")
    app = toys.app("postgresql://h/own")
    flask_migrate.Migrate(app, app.extensions["sqlalchemy"], directory=str(migrations))
    before = fingerprint(app)

    (package / "unused.py").write_text("KIND = 2")
    assert fingerprint(app) == before
    (package / "kinds.py").write_text("KIND = 2")

    assert fingerprint(app) != before
    assert "toy_words" not in sys.modules


def test_migrations_may_be_in_several_folders(toys: Toys, tmp_path: Path) -> None:
    migrations = tmp_path / "migrations"
    write_migrations(migrations)
    other = tmp_path / "elsewhere"
    other.mkdir()
    (migrations / "versions" / "1_shelf.py").rename(other / "1_shelf.py")
    (migrations / "alembic.ini").write_text(
        "[alembic]\nversion_locations = %(here)s/versions %(here)s/../elsewhere\n"
    )
    app = toys.app("postgresql://h/own")
    flask_migrate.Migrate(app, app.extensions["sqlalchemy"], directory=str(migrations))
    before = find_schema(database_of(app))
    assert before.source.name == "migrations"

    (other / "1_shelf.py").write_text((other / "1_shelf.py").read_text() + "\n")

    assert fingerprint(app) != before.fingerprint


def test_a_hook_that_fails_is_one_sentence_and_leaves_nothing(
    stock: Stock, toys: Toys, tmp_path: Path
) -> None:
    app = hooked(toys.app(stock.url("own")), tmp_path, "def rows(session):\n    1 / 0\n")
    before = stock.databases()

    outcome = toys.run(app, "test-db", "create")

    outcome.assert_says("The template hook toy_hooks.rows fails: ZeroDivisionError", "Correct it")
    assert stock.databases() == before


def test_an_extension_that_is_not_there_is_one_sentence(stock: Stock, toys: Toys) -> None:
    app = toys.app(stock.url("own"))
    Testbed(app, extensions=["no_such_extension"])

    toys.run(app, "test-db", "create").assert_says(
        "The extension 'no_such_extension' cannot be installed", "CREATE EXTENSION"
    )


def test_what_is_no_name_of_an_extension_is_refused() -> None:
    with pytest.raises(SettingsError, match="is not the name of a PostgreSQL extension"):
        Testbed(extensions=['citext"; DROP DATABASE x; --'])


def test_rows_of_hooks_come_back_after_each_test(stock: Stock, project: Project) -> None:
    toyapp = (project.root / "toyapp.py").read_text()
    project.write(
        toyapp=toyapp.replace(
            "    Testbed(app)",
            "    testbed = Testbed(app)\n"
            "    testbed.template_hook(lambda s: s.add(Book(title='reference')))",
        ),
        test_it="""
            from models import db, titles

            def test_one(app):
                assert titles() == ["reference"]
                db.session.execute(db.text("DELETE FROM book"))
                db.session.commit()

            def test_two(app):
                assert titles() == ["reference"]
        """,
    )

    outcome = project.pytest(DATABASE_URL=stock.url("own"))

    assert outcome.counts() == {"passed": 2}, outcome.text


def test_the_development_database_gets_the_same(project: Project) -> None:
    project.write(
        ask="""
            from flask_testbed import Testbed
            from models import Book, titles
            from toyapp import create_app

            app = create_app()
            testbed = Testbed(app)
            testbed.template_hook(lambda session: session.add(Book(title="reference")))
            with app.app_context():
                print(titles())
        """
    )

    outcome = project.run("ask.py")

    assert outcome.out == "['reference']\n", outcome.text
