"""Every URL that the application was shown leads to the test database of its run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.engine import make_url

from flask_testbed.application.gate import gate
from flask_testbed.errors import IsolationError
from flask_testbed.isolation.mode import Mode
from flask_testbed.postgres.cluster import Cluster
from flask_testbed.sandbox.names import name_of
from tests.support.sandboxes import MODES, NAMES, sandbox
from tests.support.servers import Stock
from tests.support.toys import Toys


@pytest.fixture
def name() -> str:
    return next(NAMES)


@pytest.fixture
def toy(stock: Stock, toys: Toys, name: str) -> Flask:
    return toys.app(stock.url(name))


@contextmanager
def taken(stock: Stock, name: str) -> Iterator[None]:
    """Another run has a name."""
    url = make_url(stock.url("x")).set(drivername="postgresql+psycopg")
    with closing(Cluster(url, "S")) as other, other.locks.locked(name, "to take it"):
        yield


def database_of_engine(url: str) -> Any:
    engine = sa.create_engine(url)
    try:
        with engine.connect() as connection:
            return connection.scalar(sa.text("SELECT current_database()"))
    finally:
        engine.dispose()


def plain(url: str) -> str:
    """The URL as libpq and psycopg write it."""
    return url.replace("+psycopg", "")


def database_of_connection(url: str) -> str:
    with closing(psycopg.connect(plain(url))) as connection:
        return connection.info.dbname


@pytest.mark.parametrize("worker", ["", "gw0"])
@pytest.mark.parametrize("first", [database_of_engine, database_of_connection])
def test_a_url_of_before_the_database_was_created(
    stock: Stock, toy: Flask, name: str, worker: str, first: Any
) -> None:
    shown = name_of(f"{name}_test", worker)
    with taken(stock, shown), sandbox(toy, worker=worker) as made:
        url = toy.config["SQLALCHEMY_DATABASE_URI"]
        assert make_url(url).database == shown

        found = [first(url), database_of_engine(url), database_of_connection(url)]

        expected = name_of(f"{name}_test", worker, 2)
        assert [*found, made.name] == [expected] * 4
        now = toy.config["SQLALCHEMY_DATABASE_URI"]
        assert make_url(now).database == expected
        assert database_of_connection(now) == expected


def test_the_database_that_a_command_has_created_is_left_alone(
    stock: Stock, toys: Toys, toy: Flask, name: str
) -> None:
    assert toys.run(toys.app(stock.url(name)), "test-db", "create").status == 0
    with sandbox(toy) as made:
        url = plain(toy.config["SQLALCHEMY_DATABASE_URI"])
        for _ in range(2):
            with psycopg.connect(url) as connection:
                connection.execute("INSERT INTO book (title) VALUES ('x')")
            assert stock.rows("SELECT title FROM book", made.name or "") == ["x"]
            made.reset()
    assert stock.rows("SELECT count(*) FROM book", f"{name}_test") == [0]


@pytest.mark.parametrize("mode", MODES)
def test_what_is_written_without_an_engine_is_undone(
    stock: Stock, toy: Flask, name: str, mode: Mode
) -> None:
    with sandbox(toy, mode) as made:
        assert database_of_connection(toy.config["SQLALCHEMY_DATABASE_URI"]) == f"{name}_test"
        made.reset()
        with psycopg.connect(plain(toy.config["SQLALCHEMY_DATABASE_URI"])) as connection:
            connection.execute("INSERT INTO book (title) VALUES ('x')")
        made.reset()
        assert stock.rows("SELECT count(*) FROM book", f"{name}_test") == [0]


def test_another_user_and_other_options_are_kept(stock: Stock, toy: Flask) -> None:
    with sandbox(toy):
        url = make_url(toy.config["SQLALCHEMY_DATABASE_URI"])
        given = url.set(drivername="postgresql", username="maker", query={"application_name": "x"})
        with psycopg.connect(given.render_as_string(hide_password=False)) as connection:
            row = connection.execute("SELECT current_user, current_setting('application_name')")
            assert row.fetchone() == ("maker", "x")


def test_other_databases_are_not_redirected(stock: Stock, toy: Flask) -> None:
    with sandbox(toy):
        assert database_of_connection(stock.url("postgres")) == "postgres"


def test_a_test_that_must_not_connect_is_refused(toy: Flask) -> None:
    with sandbox(toy) as made:
        gate.forbid("not here")
        try:
            with pytest.raises(IsolationError, match="not here"):
                database_of_connection(toy.config["SQLALCHEMY_DATABASE_URI"])
        finally:
            gate.allow()
        assert made.name is None
