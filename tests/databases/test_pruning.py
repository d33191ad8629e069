"""What nobody needs any more is dropped, and nothing else."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.engine import make_url

from flask_testbed.databases.pruning import prune, prune_templates
from flask_testbed.embedded.server import EmbeddedServer
from flask_testbed.postgres.cluster import Cluster
from flask_testbed.postgres.labels import TEMPLATE, UNFINISHED, Kind, Label
from tests.support.servers import Stock
from tests.support.toys import Toys


def cluster(stock: Stock, role: str = "boss") -> Cluster:
    url = make_url(stock.url("x", role)).set(drivername="postgresql+psycopg")
    return Cluster(url, "S")


def make(stock: Stock, name: str, kind: str, days_ago: float = 0) -> str:
    """A database of the engine's that is so old."""
    made_at = (datetime.now(UTC) - timedelta(days=days_ago)).isoformat(timespec="seconds")
    with closing(cluster(stock)) as server:
        server.connection.execute(f'CREATE DATABASE "{name}"')
        server.set_label(name, replace(Label.create(Kind(kind), "0"), made_at=made_at))
    return name


def test_leftovers_go_and_nothing_else(stock: Stock, toys: Toys) -> None:
    app = toys.app(stock.url("own"))
    before = stock.databases()
    dead = [
        make(stock, "theirs_test_2_gw1", "run"),
        make(stock, TEMPLATE + "0" * 16, "template"),
        make(stock, UNFINISHED + "0" * 12, "run"),
    ]
    kept = [make(stock, "own_test", "kept"), make(stock, "mine_test", "left")]
    kept += [make(stock, "flask_testbed_snapshot_" + "0" * 16, "snapshot")]
    stock.create("foreign_test")
    stock.create(TEMPLATE + "f" * 16)
    with closing(cluster(stock)) as run:
        used = make(stock, "used_test", "run")
        assert run.locks.try_lock(used)

        outcome = toys.run(app, "test-db", "prune", "--json")

    assert outcome.status == 0, outcome.text
    assert {one["name"]: one["kind"] for one in json.loads(outcome.out)} == {
        dead[0]: "run",
        dead[1]: "template",
        dead[2]: "unfinished",
    }
    others = {used, *kept, "foreign_test", TEMPLATE + "f" * 16}
    assert set(stock.databases()) == others | set(before)
    again = toys.run(app, "test-db", "prune")
    assert again.out == f"Dropped {used} (run).\n"
    assert toys.run(app, "test-db", "prune").out == "Nothing to drop.\n"


def test_what_somebody_looks_at_stays(stock: Stock) -> None:
    name = make(stock, "x_test", "run")
    with stock.connect(name), closing(cluster(stock)) as server:
        assert prune(server) == []

    assert name in stock.databases()


def test_what_is_anothers_stays(stock: Stock) -> None:
    name = make(stock, "x_test", "run")
    with closing(cluster(stock, "maker")) as server:
        assert prune(server) == []

    assert name in stock.databases()


@pytest.mark.parametrize(
    ("keep", "days", "dropped"),
    [(5, 30, ""), (2, 30, "ab"), (5, 2.5, "ab"), (5, 0, "abcd"), (0, 30, "abcd")],
)
def test_templates_go_by_age_and_number(
    stock: Stock, toys: Toys, keep: int, days: float, dropped: str
) -> None:
    """As on the embedded server, where they stay for the next run."""
    names = {
        letter: make(stock, TEMPLATE + letter * 16, "template", age)
        for letter, age in zip("abcd", [4, 3, 2, 1], strict=True)
    }
    current = make(stock, TEMPLATE + "e" * 16, "template", 9)
    with closing(cluster(stock)) as server:
        # It only matters that there is one.
        server.connection  # noqa: B018
        server.embedded = EmbeddedServer(toys._instance, "test")

        gone = prune_templates(server, current, keep=keep, days=days)

    assert {found.name for found in gone} == {names[letter] for letter in dropped}


def test_in_production_nothing_is_pruned(
    stock: Stock, toys: Toys, environment: pytest.MonkeyPatch
) -> None:
    name = make(stock, "x_test", "run")
    environment.setenv("APP_ENV", "production")

    toys.run(toys.app(stock.url("own")), "test-db", "prune").assert_says("Refused: ", "production")

    assert name in stock.databases()


def test_what_was_replaced_before_its_lock_was_taken_is_not_dropped(stock: Stock) -> None:
    name = make(stock, "own_test", "run")
    with closing(cluster(stock)) as server:
        found = server.find(name)
        assert found is not None
        server.drop(name)
        victim = stock.create(name)

        assert not server.drop_if_unused(found)

    victim.assert_untouched()
