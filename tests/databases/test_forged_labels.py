"""A label counts only on the database, and for the role, for which the testbed has written it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing

import pytest
from flask import Flask
from sqlalchemy.engine import make_url

from flask_testbed.application.databases import database_of
from flask_testbed.application.schema import find_schema
from flask_testbed.databases.pruning import prune
from flask_testbed.databases.snapshots import Snapshots
from flask_testbed.databases.template import Template
from flask_testbed.postgres.cluster import Cluster
from flask_testbed.postgres.labels import SNAPSHOT, TEMPLATE, Kind, Label
from flask_testbed.sandbox.names import Keeping
from flask_testbed.sandbox.sandbox import Sandbox
from tests.support.servers import Stock
from tests.support.toys import Toys


@pytest.fixture
def server(stock: Stock) -> Iterator[Cluster]:
    """The server, as the superuser."""
    url = make_url(stock.url("x")).set(drivername="postgresql+psycopg")
    with closing(Cluster(url, "S")) as found:
        yield found


@pytest.fixture
def shop(stock: Stock, toys: Toys) -> Flask:
    """An application of the superuser."""
    return toys.app(stock.url("own"))


def plant(stock: Stock, name: str, kind: str, fingerprint: str) -> None:
    """Make a database as a role that may only create databases, with the label of the engine."""
    stock.create(name, role="maker")
    stock.label(name, kind, fingerprint)


# Of another role


def test_a_template_of_another_role_is_not_cloned(
    stock: Stock, toys: Toys, shop: Flask, server: Cluster
) -> None:
    template = Template(server, find_schema(database_of(shop)))
    plant(stock, template.name, "template", template.fingerprint)
    before = stock.databases()

    for command in ("create", "check"):
        toys.run(shop, "test-db", command).assert_says(
            f"Refused: the database '{template.name}'",
            "belongs to the role 'maker', and the testbed's role is 'boss'",
            "Let its owner or an administrator drop it.",
        )
    assert stock.databases() == before


@pytest.mark.parametrize("keeping", [Keeping(), Keeping(reuse=True), Keeping(True, anew=True)])
def test_a_run_does_not_use_a_database_of_another_role(
    stock: Stock, shop: Flask, server: Cluster, keeping: Keeping
) -> None:
    fingerprint = Template(server, find_schema(database_of(shop))).fingerprint
    plant(stock, "own_test", "kept", fingerprint)
    plant(stock, "own_test_2", "run", fingerprint)
    sandbox = Sandbox.of(shop, keeping=keeping)

    try:
        assert sandbox.url().database == "own_test_3"
    finally:
        sandbox.close()
    assert {"own_test", "own_test_2"} < set(stock.databases())
    assert stock.rows("SELECT word FROM precious", "own_test") == ["still here"]


def test_no_command_touches_a_database_of_another_role(
    stock: Stock, toys: Toys, shop: Flask
) -> None:
    plant(stock, "own_test", "kept", "0" * 16)
    before = stock.marks()

    for command in ("create", "reset --force", "drop --force", "snapshot save one --force"):
        toys.run(shop, "test-db", *command.split()).assert_says(
            "Refused: the database 'own_test'", "belongs to the role 'maker'"
        )
    assert stock.marks() == before


def test_a_snapshot_of_another_role_is_not_restored(
    stock: Stock, toys: Toys, shop: Flask, server: Cluster
) -> None:
    assert toys.run(shop, "test-db", "create").status == 0
    toys.run(shop, "test-db", "snapshot", "save", "one")
    (key,) = [name for name in stock.databases() if name.startswith(SNAPSHOT)]
    label = server.find_kind(Kind.SNAPSHOT)[0].label
    server.drop(key)
    stock.create(key, role="maker")
    (oid,) = stock.rows("SELECT oid FROM pg_database WHERE datname = %s", "postgres", key)
    assert label is not None
    stock.rows(f"COMMENT ON DATABASE {key} IS '{label.written_on(key, oid)}'")

    for verb in ("save", "restore", "drop"):
        toys.run(shop, "test-db", "snapshot", verb, "one").assert_says(
            "belongs to the role 'maker'"
        )
    assert Snapshots(shop).list() == []
    assert {key, "own_test"} < set(stock.databases())


# Of another database


def test_what_was_renamed_or_restored_is_not_dropped(
    stock: Stock, toys: Toys, shop: Flask, server: Cluster
) -> None:
    label = Label.create(Kind.RUN, "0" * 16)
    server.clone("template1", "theirs_test", label)
    server.clone("template1", "own_test_2", label)
    stock.rows("ALTER DATABASE theirs_test RENAME TO shop")
    stock.rows("ALTER DATABASE own_test_2 RENAME TO own_test_3")
    # pg_dump -C takes the comment along.
    comment = stock.marks()["shop"]
    for name in ("theirs_test", "own_test", TEMPLATE + "0" * 16):
        stock.create(name)
        stock.rows(f"COMMENT ON DATABASE {name} IS '{comment}'")
    before = stock.marks()

    assert prune(server) == []
    for command in ("create", "drop"):
        toys.run(shop, "test-db", command).assert_says(
            "Refused: the database 'own_test'",
            "has the label of the database 'theirs_test', from which it was renamed or restored",
        )
    stock.rows("ALTER DATABASE own_test RENAME TO other")
    sandbox = Sandbox.of(shop)
    assert sandbox.url().database == "own_test"
    sandbox.close()

    before["other"] = before.pop("own_test")
    assert stock.marks() == before


def test_a_label_without_the_name_of_its_database_does_not_count(
    stock: Stock, toys: Toys, shop: Flask, server: Cluster
) -> None:
    """Versions before this one have written such labels."""
    assert toys.run(shop, "test-db", "create").status == 0
    earlier = re.sub(r' "database": "own_test", "oid": \d+,', "", stock.marks()["own_test"])
    assert "oid" not in earlier
    stock.rows(f"COMMENT ON DATABASE own_test IS '{earlier}'")

    toys.run(shop, "test-db", "reset").assert_says(
        "was made by an earlier version of flask-testbed", "flask test-db drop --yes"
    )
    assert toys.run(shop, "test-db", "drop", "--yes").status == 0


# Of a role that acts for another


def test_a_role_that_is_set_to_another_one_drops_what_it_has_made(
    stock: Stock, toys: Toys, server: Cluster
) -> None:
    stock.rows("CREATE ROLE owner CREATEDB; GRANT owner TO weak; ALTER ROLE weak SET role = owner")
    try:
        app = toys.app(stock.url("own", "weak"))
        before = stock.databases()
        for command in ("create", "reset", "snapshot save one", "snapshot restore one"):
            outcome = toys.run(app, "test-db", *command.split())
            assert outcome.status == 0, outcome.text
        owner = "SELECT DISTINCT datdba::regrole::text FROM pg_database WHERE datname = 'own_test'"
        assert stock.rows(owner) == ["owner"]
        sandbox = Sandbox.of(app)
        # The user's sessions are not those of the owner to end.
        with stock.connect(str(sandbox.url().database), "weak"):
            sandbox.close()
        with stock.connect("own_test", "weak"):
            for command in ("snapshot restore one --force", "snapshot drop one", "drop --force"):
                outcome = toys.run(app, "test-db", *command.split())
                assert outcome.status == 0, outcome.text
        stock.create("own_test_gw0")
        stock.rows("ALTER DATABASE own_test_gw0 OWNER TO owner")
        stock.label("own_test_gw0", "run")
        assert toys.run(app, "test-db", "prune").out == "Dropped own_test_gw0 (run).\n"
        assert stock.databases() == before
    finally:
        stock.drop_all()
        stock.rows("ALTER ROLE weak RESET role; DROP ROLE owner")
