"""The command ``flask factories lint``."""

from __future__ import annotations

import json
import sys

import factory
import pytest
from flask import Flask

from flask_testbed.cli import factories as factory_commands
from flask_testbed.factories import BaseFactory, Factories
from tests.support import lint_toys
from tests.support.lint_toys import (
    db,
    factories,
    lint_app,
)
from tests.support.servers import Stock
from tests.support.toys import Toys, run_command


@pytest.fixture(scope="module")
def toy_app() -> Flask:
    return lint_app()


def test_the_command_succeeds_if_nothing_is_wrong(toy_app: Flask) -> None:
    outcome = run_command(toy_app, "factories", "lint", "ThingFactory", "--samples", "60")

    assert outcome.status == 0
    assert "1 factory, 2 traits, 60 samples each (random seed 0), in " in outcome.out
    assert outcome.out.endswith("\nno fault.\n")


def test_the_command_fails_and_says_all(toy_app: Flask) -> None:
    outcome = run_command(toy_app, "factories", "lint", "--samples", "0")

    assert outcome.status == 1
    for part in (
        "OutOfRange\n  lint_things.rating: check rating_range\n  in create, create_batch\n",
        "WrongTrait, trait overrated\n",
        "TwoInAPlace\n  lint_things.shelf, lint_things.place: unique one_in_a_place\n",
        f"Models without a factory:\n  Orphan ({lint_toys.__name__})\n",
        "Columns that no factory fills (default):\n  lint_things.state\n",
    ):
        assert part in outcome.out
    assert outcome.out.endswith(" faults, 1 model without a factory.\n")
    assert max(map(len, outcome.out.splitlines())) <= 80


def test_samples_are_counted_in_the_report(toy_app: Flask) -> None:
    outcome = run_command(toy_app, "factories", "lint", "OneOfMany", "--samples", "250")

    assert "in 1 of 83 samples" in outcome.out or "in 1 of 84 samples" in outcome.out


def test_the_report_can_be_read_by_a_program(toy_app: Flask) -> None:
    outcome = run_command(toy_app, "factories", "lint", "OutOfRange", "--json", "--samples", "30")

    answer = json.loads(outcome.out)
    assert outcome.status == 1
    assert answer["clean"] is False
    (fault,) = answer["faults"]
    assert fault["columns"] == ["rating"]
    assert fault["failed"] > 0


def test_an_unknown_factory_is_refused(toy_app: Flask) -> None:
    outcome = run_command(toy_app, "factories", "lint", "NoFactory")

    outcome.assert_says("No factory is called 'NoFactory'. There are:")


def test_progress_is_shown_on_a_terminal_only(
    toy_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["factories", "lint", "ThingFactory", "--samples", "60"]
    silent = run_command(toy_app, *command)
    monkeypatch.setattr(factory_commands, "_is_terminal", lambda stream: stream is sys.stderr)
    spoken = run_command(toy_app, *command)

    assert "Calling" not in silent.text
    assert "Calling" in spoken.err


@pytest.fixture
def stock_app(toys: Toys, stock: Stock) -> Flask:
    stock.create("shop")
    app = toys.app(stock.url("shop"), db)
    factories.init_app(app, db)
    return app


def test_only_a_test_database_is_used_and_it_is_dropped(stock: Stock, stock_app: Flask) -> None:
    sessions = "SELECT sessions FROM pg_stat_database WHERE datname = 'shop'"
    before = stock.databases(), stock.rows(sessions)

    outcome = run_command(stock_app, "factories", "lint", "Committing", "--samples", "9")

    assert outcome.status == 0, outcome.text
    assert (stock.databases(), stock.rows(sessions)) == before
    assert stock_app.config["SQLALCHEMY_DATABASE_URI"].endswith("/shop")


def test_nothing_is_made_in_production(
    stock: Stock, stock_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stock.databases()
    monkeypatch.setenv("APP_ENV", "production")

    outcome = run_command(stock_app, "factories", "lint")

    outcome.assert_says("production")
    assert stock.databases() == before


def test_no_bind_leads_to_a_database_of_the_applications_own(stock: Stock, toys: Toys) -> None:
    urls = {one: stock.url(one, drivername="postgresql+psycopg") for one in ("shop", "archive")}
    for name in urls:
        stock.create(name)
    binds = {"same": urls["shop"], "archive": urls["archive"]}
    app = toys.app(urls["shop"], db, SQLALCHEMY_BINDS=binds)
    own = Factories()
    found = set()

    class SpreadFactory(BaseFactory[lint_toys.Parent]):
        class Meta:
            model = lint_toys.Parent
            registry = own

        @factory.lazy_attribute
        def id(self) -> int:
            for key, engine in db.engines.items():
                with engine.connect() as connection:
                    name = connection.exec_driver_sql("SELECT current_database()").scalar()
                    found.add((key, name))
            return len(found)

    own.init_app(app, db)

    outcome = toys.run(app, "factories", "lint", "SpreadFactory", "--samples", "0")

    assert outcome.status in (0, 1), outcome.text
    assert found == {(None, "shop_test"), ("same", "shop_test"), ("archive", "archive_test")}
    assert not {"shop_test", "archive_test"} & set(stock.databases())
