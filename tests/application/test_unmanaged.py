"""Engines that an application makes for itself, and pools of applications that are gone."""

from __future__ import annotations

import gc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

from flask_testbed.application.databases import database_of
from flask_testbed.application.gate import gate
from flask_testbed.application.routes import Destination
from flask_testbed.errors import SettingsError
from tests.support.projects import Project
from tests.support.servers import Stock
from tests.support.toys import Toys


def test_an_engine_that_the_application_makes_for_itself(stock: Stock, project: Project) -> None:
    project.write(
        test_it="""
            import pytest
            from sqlalchemy import create_engine, text

            @pytest.mark.parametrize("n", range(2))
            def test_it(app, n):
                engine = create_engine(app.config["SQLALCHEMY_DATABASE_URI"])
                with engine.begin() as connection:
                    name = connection.execute(text("SELECT current_database()")).scalar()
                    assert name == "own_test"
                    found = connection.execute(text("SELECT title FROM book")).all()
                    connection.execute(text("INSERT INTO book (title) VALUES ('x')"))
                engine.dispose()
                assert found == []

            def test_not_even_of_the_environment(app):
                import os
                url = os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:")
                engine = create_engine(url)
                with engine.connect() as connection:
                    name = connection.execute(text("SELECT current_database()")).scalar()
                engine.dispose()
                assert name == "own_test"
        """
    )
    own = stock.create("own")

    outcome = project.pytest(DATABASE_URL=stock.url("own"))

    assert outcome.counts() == {"passed": 3}, outcome.text
    own.assert_untouched()


def test_an_application_that_was_connected_before_pytest_began(
    stock: Stock, project: Project
) -> None:
    project.write(
        manage="""
            import sys, pytest
            from toyapp import create_app
            from models import db
            app = create_app()
            with app.app_context():
                print(db.session.scalar(db.text("SELECT current_database()")))
                db.session.remove()
                sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "test_it.py"]))
        """,
        conftest="""
            import pytest
            from flask import current_app

            @pytest.fixture(scope="session")
            def app():
                return current_app._get_current_object()
        """,
        test_it="""
            from models import add, db, titles

            def test_it(app):
                assert db.session.scalar(db.text("SELECT current_database()")) == "own_test"
                add("x")
        """,
    )
    # pytest warns that it cannot rewrite what is imported already.
    (project.root / "pytest.ini").write_text(
        "[pytest]\npythonpath = .\nfilterwarnings = ignore::pytest.PytestAssertRewriteWarning\n"
    )
    own = stock.create("own")

    outcome = project.run("manage.py", DATABASE_URL=stock.url("own"))

    assert outcome.out.startswith("own\n")
    assert outcome.counts() == {"passed": 1}, outcome.text
    own.assert_untouched()


class Elsewhere(Destination):
    """A database that a route leads to, and what is done before it is there."""

    def __init__(self, url: str, before: Callable[[], object] = int) -> None:
        self._url = url
        self._before = before

    def url(self) -> URL:
        self._before()
        return make_url(self._url)


@pytest.mark.parametrize("key", ["dbname", "database"])
def test_an_unmanaged_engine_of_another_driver_is_refused(toys: Toys, key: str) -> None:
    app = toys.app("postgresql://localhost/own")
    elsewhere = Elsewhere("postgresql+psycopg://localhost/own_test")
    database_of(app).redirect(elsewhere, to_test=True)
    dialect: Any = SimpleNamespace(name="postgresql", driver="another")
    record: Any = SimpleNamespace(info={})

    with pytest.raises(SettingsError, match="uses the driver 'another'"):
        gate.connecting(dialect, record, (), {"host": "127.0.0.1", key: "own"})

    assert gate.connecting(dialect, record, (), {"host": "127.0.0.1", key: "else"}) is None


def test_an_application_may_be_made_while_an_engine_connects(stock: Stock, toys: Toys) -> None:
    app, other = toys.app(stock.url("own")), toys.app(stock.url("other"))
    database = database_of(app)
    elsewhere = Elsewhere(stock.url("postgres"), before=lambda: database_of(other))
    database.redirect(elsewhere, to_test=True)
    unmanaged = sa.create_engine(database.own_url)
    try:
        with unmanaged.connect() as connection:
            assert connection.scalar(sa.text("SELECT current_database()")) == "postgres"
    finally:
        unmanaged.dispose()


def test_the_pool_of_an_application_that_is_forgotten_is_closed(stock: Stock, toys: Toys) -> None:
    app = toys.app(stock.url("postgres"))
    database_of(app)
    with app.app_context():
        engine = app.extensions["sqlalchemy"].engine
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
    assert not raw.closed

    del app, engine, connection
    gc.collect()

    assert raw.closed
