"""A role without superuser drops a database in which there are sessions that it may not end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy.engine import make_url

from flask_testbed.errors import DatabaseError
from flask_testbed.postgres.cluster import Cluster
from tests.support.servers import Stock


@pytest.fixture
def maker(stock: Stock) -> Iterator[Cluster]:
    """The server, as a role that may create databases alone."""
    url = make_url(stock.url("x", "maker")).set(drivername="postgresql+psycopg")
    with closing(Cluster(url, "S")) as found:
        yield found


def test_a_session_that_ends_by_itself_is_waited_for(stock: Stock, maker: Cluster) -> None:
    """Such as that of autovacuum."""
    stock.create("x_test", role="maker")
    own = stock.connect("x_test", "maker")
    other = stock.connect("x_test", "boss")
    timer = threading.Timer(0.2, other.close)
    timer.start()

    maker.drop("x_test")

    timer.join()
    assert "x_test" not in stock.databases()
    with pytest.raises(Exception, match="terminating connection"):
        own.execute("SELECT 1")


def test_no_session_ends_in_a_database_of_another_role(stock: Stock, maker: Cluster) -> None:
    stock.create("x_test")

    with stock.connect("x_test", "maker") as own:
        with pytest.raises(DatabaseError, match="must be owner of database x_test"):
            maker.drop("x_test")
        assert own.execute("SELECT 1").fetchone() == (1,)
