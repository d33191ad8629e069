"""What is tested: models of SQLAlchemy, with pytest-postgresql and without."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_postgresql import factories
from sqlalchemy import create_engine, make_url
from sqlalchemy.engine import Engine

from benchmarks.peers.cases import one_test
from benchmarks.peers.models import db

each = pytest.mark.parametrize("number", range(int(os.environ["BENCHMARK_TESTS"])))
NAME = "benchmark_pytest_postgresql"


def _url(name: str) -> Any:
    return make_url(os.environ["BENCHMARK_URL"]).set(database=name)


def load(**parameters: Any) -> None:
    """Fill the template."""
    engine = create_engine(_url(parameters["dbname"]))
    db.metadata.create_all(engine)
    engine.dispose()


server = factories.postgresql_noproc(
    host=os.environ["PGHOST"],
    port=int(os.environ["PGPORT"]),
    user="postgres",
    dbname=NAME,
    load=[load],
)
own_database = factories.postgresql("server")


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """One for all tests: what SQLAlchemy has compiled stays."""
    engine = create_engine(_url(NAME))
    yield engine
    engine.dispose()


@pytest.fixture
def connected(own_database: object, engine: Engine) -> Iterator[Engine]:
    """The engine, on a database of the test's own."""
    yield engine
    engine.dispose()


@each
def test_isolated(connected: Engine, number: int) -> None:
    one_test(connected, number)


@pytest.fixture(scope="session")
def other_engine() -> Iterator[Engine]:
    engine = create_engine(os.environ["BENCHMARK_URL"])
    yield engine
    engine.dispose()


@each
def test_models(other_engine: Engine, number: int) -> None:
    one_test(other_engine, number)
