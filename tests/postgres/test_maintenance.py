"""The maintenance database: the one called postgres, or the one that a setting names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from flask import Flask
from psycopg import sql
from sqlalchemy.engine import make_url

from flask_testbed.application.databases import database_of
from flask_testbed.application.target import target_of
from flask_testbed.databases.servers import cluster_of
from flask_testbed.databases.test_database import TestDatabase
from flask_testbed.errors import ServerError
from flask_testbed.postgres.cluster import Cluster
from flask_testbed.postgres.labels import UNFINISHED
from flask_testbed.sandbox.sandbox import Sandbox
from tests.support.processes import assert_no_password
from tests.support.projects import Project
from tests.support.servers import Stock
from tests.support.toys import Toys

SETTING = "TEST_DATABASE_MAINTENANCE"


@pytest.fixture
def bare(stock: Stock) -> Iterator[Stock]:
    """A server whose database ``postgres`` is called ``other``."""
    stock.rows("ALTER DATABASE postgres RENAME TO other", "template1")
    yield stock
    stock.rows("ALTER DATABASE other RENAME TO postgres", "template1")


def names(stock: Stock) -> list[str]:
    return stock.rows("SELECT datname FROM pg_database ORDER BY 1", "other")


def test_without_a_database_called_postgres_the_error_names_the_setting(
    bare: Stock, toys: Toys
) -> None:
    outcome = toys.run(toys.app(bare.url("own")), "test-db", "create")

    outcome.assert_says(
        "Cannot connect to the database 'postgres' on 127.0.0.1:",
        "(the server of SQLALCHEMY_DATABASE_URI)",
        f'database "postgres" does not exist. Name another one with {SETTING}',
    )
    assert len(outcome.text.splitlines()) == 1
    assert_no_password(outcome, bare.password)


def test_a_database_that_a_role_may_not_connect_to_names_the_setting(stock: Stock) -> None:
    stock.rows("REVOKE CONNECT ON DATABASE postgres FROM public")
    url = make_url(stock.url("x", "maker")).set(drivername="postgresql+psycopg")
    try:
        with (
            closing(Cluster(url, "S")) as cluster,
            pytest.raises(
                ServerError, match=f'permission denied for database "postgres".*{SETTING}'
            ),
        ):
            cluster.locks.try_lock("x")
    finally:
        stock.rows("GRANT CONNECT ON DATABASE postgres TO public")


@pytest.mark.parametrize("where", ["environment", "configuration"])
def test_a_setting_names_another_one(
    bare: Stock, toys: Toys, environment: pytest.MonkeyPatch, where: str
) -> None:
    config = {SETTING: "other"} if where == "configuration" else {}
    if where == "environment":
        environment.setenv(SETTING, "other")
    app = toys.app(bare.url("own"), **config)
    before = names(bare)

    created = toys.run(app, "test-db", "create")
    with closing(cluster_of(TestDatabase(app).target)) as run:
        assert run.locks.try_lock("own_test")
        refused = toys.run(app, "test-db", "drop")
    saved = toys.run(app, "test-db", "snapshot", "save", "one")
    listed = toys.run(app, "test-db", "snapshot", "list", "--development")
    restored = toys.run(app, "test-db", "snapshot", "restore", "one")
    snapshot = toys.run(app, "test-db", "snapshot", "drop", "one")
    dropped = toys.run(app, "test-db", "drop")

    for outcome in (created, saved, listed, restored, snapshot):
        assert outcome.status == 0, outcome.text
    refused.assert_says("Refused: a test run is using the database 'own_test'")
    assert dropped.out == "Dropped own_test.\n"
    assert names(bare) == before


def test_no_connection_to_a_template_is_kept(bare: Stock, toys: Toys) -> None:
    app = toys.app(bare.url("own"), **{SETTING: "other"})
    before = names(bare)
    database = database_of(app)
    sandbox = Sandbox(database, target_of(database))
    try:
        assert sandbox.url().database == "own_test"
        # The server would refuse this while anybody is connected to template1.
        bare.rows("CREATE DATABASE theirs", "other")
    finally:
        sandbox.close()

    assert names(bare) == sorted([*before, "theirs"])


def test_a_run_of_pytest_uses_it(bare: Stock, project: Project) -> None:
    project.write(test_it="from models import add\n\ndef test_it(app):\n    add('x')\n")
    before = names(bare)

    outcome = project.pytest("-n2", DATABASE_URL=bare.url("own"), **{SETTING: "other"})

    assert outcome.counts() == {"passed": 1}, outcome.text
    assert names(bare) == before


@pytest.mark.parametrize("name", ["template0", "template1", "own_test", "x_test_gw1"])
def test_a_database_that_must_be_cloned_or_dropped_is_refused(
    toys: Toys, environment: pytest.MonkeyPatch, name: str
) -> None:
    environment.setenv(SETTING, name)

    toys.run(toys.app("postgresql://127.0.0.1:1/own"), "test-db", "create").assert_says(
        f"{SETTING} names {name!r}", "a database that stays"
    )


def test_an_embedded_server_has_its_own(toys: Toys, environment: pytest.MonkeyPatch) -> None:
    app: Flask = toys.app(None)
    environment.setenv(SETTING, "other")

    assert cluster_of(target_of(database_of(app))).maintenance == "postgres"


def test_functions_of_others_in_the_maintenance_database_are_not_called(
    stock: Stock, toys: Toys
) -> None:
    """The schema public is open to every role in databases that PostgreSQL 14 has created."""
    stock.rows("GRANT CREATE ON SCHEMA public TO PUBLIC")
    try:
        with stock.connect(role="maker") as attacker:
            attacker.execute(
                "CREATE FUNCTION public.shobj_description(oid, text) RETURNS text LANGUAGE plpgsql"
                " AS $$ BEGIN RAISE 'called by %', current_user; END $$"
            )
        app = toys.app(stock.url("own"))
        for command in ("create", "status", "prune", "drop"):
            outcome = toys.run(app, "test-db", command)
            assert outcome.status == 0, outcome.text
    finally:
        stock.rows(
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC;"
            " DROP FUNCTION IF EXISTS public.shobj_description(oid, text)"
        )


def test_names_and_comments_in_another_encoding_disturb_nobody(stock: Stock, toys: Toys) -> None:
    name = f"{UNFINISHED}{'0' * 12}"
    with stock.connect(role="maker") as other:
        other.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    latin = {"autocommit": True, "client_encoding": "LATIN1"}
    with closing(psycopg.connect(stock.url("latin", "maker"), **latin)) as other:  # type: ignore[arg-type]
        for theirs in (name, "café"):
            other.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(theirs)))
            comment = sql.SQL("COMMENT ON DATABASE {} IS 'flask-testbed: é'")
            other.execute(comment.format(sql.Identifier(theirs)))
        try:
            app = toys.app(stock.url("own"))
            for command in ("create", "status", "prune", "snapshot list", "drop"):
                outcome = toys.run(app, "test-db", *command.split())
                assert outcome.status == 0, outcome.text
        finally:
            other.execute("DROP DATABASE café")
