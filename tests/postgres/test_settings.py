"""The settings and privileges of a database, which its copies have too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from flask_testbed.errors import DatabaseError
from flask_testbed.postgres.cluster import Cluster
from flask_testbed.postgres.labels import Kind, Label
from tests.support.servers import Stock

SET = """
    ALTER DATABASE shop_test SET search_path TO "$user", "Odd, ""name", public;
    ALTER DATABASE shop_test SET session_preload_libraries TO '';
    ALTER DATABASE shop_test SET datestyle TO 'German, DMY';
    ALTER DATABASE shop_test SET timezone TO 'Europe/Vienna';
    ALTER DATABASE shop_test SET shop.tenant TO 'a; b''s';
    ALTER DATABASE shop_test SET work_mem TO '8MB';
    ALTER ROLE weak IN DATABASE shop_test SET search_path TO "Weak";
    ALTER ROLE weak IN DATABASE shop_test SET default_transaction_read_only TO on;
    ALTER DATABASE shop_test CONNECTION LIMIT 7;
    REVOKE ALL ON DATABASE shop_test FROM PUBLIC;
    GRANT CONNECT ON DATABASE shop_test TO weak WITH GRANT OPTION;
    GRANT TEMPORARY ON DATABASE shop_test TO PUBLIC;
"""

#: What only a superuser may set.
BOSS = "preload|ALTER ROLE|tenant"

# As PostgreSQL has stored it: the order of settings is that in which they were set.
STORED = """
    SELECT json_build_array(d.datconnlimit, d.datacl::text[],
        (SELECT json_agg(json_build_array(s.setrole::regrole, s.setconfig) ORDER BY s.setrole)
            FROM pg_db_role_setting s WHERE s.setdatabase = d.oid))
    FROM pg_database d WHERE d.datname = %s
"""


def stored(stock: Stock, name: str) -> Any:
    return stock.rows(STORED, "postgres", name)[0]


@pytest.fixture(params=["boss", "maker"])
def cluster(stock: Stock, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A server, as a superuser or as a role that may create databases alone."""
    url = make_url(stock.url("x", request.param)).set(drivername="postgresql+psycopg")
    with closing(Cluster(url, "S")) as found:
        yield found


def test_a_clone_has_the_settings_and_privileges_of_its_template(
    stock: Stock, cluster: Cluster
) -> None:
    stock.create("shop_test", role=cluster.role)
    lines = [
        line for line in SET.splitlines() if cluster.role == "boss" or not re.search(BOSS, line)
    ]
    with stock.connect(role=cluster.role) as connection:
        connection.execute(sql.SQL("\n".join(lines)))

    cluster.clone("shop_test", "other_test", Label.create(Kind.KEPT, ""))

    assert stored(stock, "other_test") == stored(stock, "shop_test")
    assert stored(stock, "other_test")[0] == 7


def test_a_clone_has_none_where_its_template_has_none(stock: Stock, cluster: Cluster) -> None:
    stock.create("shop_test", role=cluster.role)

    cluster.clone("shop_test", "other_test", Label.create(Kind.KEPT, ""))

    assert stored(stock, "other_test") == [-1, None, None]


def test_a_setting_that_the_role_may_not_set_is_one_sentence(stock: Stock) -> None:
    stock.create("shop_test", role="maker")
    stock.rows("ALTER DATABASE shop_test SET log_statement TO 'all'")
    before = stock.databases()
    url = make_url(stock.url("x", "maker")).set(drivername="postgresql+psycopg")

    with closing(Cluster(url, "S")) as cluster, pytest.raises(DatabaseError) as refused:
        cluster.clone("shop_test", "other_test", Label.create(Kind.KEPT, ""))

    assert str(refused.value).startswith("Cannot copy the settings and privileges")
    assert "permission denied to set parameter" in str(refused.value)
    assert stock.databases() == before
