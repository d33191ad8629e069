"""Templates of an application with several databases, which one build makes."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_testbed import Testbed
from flask_testbed.application.databases import databases_of
from flask_testbed.application.target import target_of
from flask_testbed.sandbox.sandbox import Sandbox
from tests.support.migrations import write_migrations, write_multidb_migrations
from tests.support.servers import Stock, Victim
from tests.support.toys import Toys


class Shop:
    """An application with two databases on a server, each a victim."""

    def __init__(self, stock: Stock, toys: Toys, folder: Path, role: str) -> None:
        self.stock, self.toys = stock, toys
        self.victims: list[Victim] = [stock.create("own", role), stock.create("stats", role)]
        self.log = folder / "log"
        self.migrations = folder / "migrations"
        self.testbed = Testbed()
        self.app = self._make(role)
        self.before = stock.databases()

    def _make(self, role: str) -> Flask:
        class Base(DeclarativeBase):
            pass

        app, db = Flask("shop"), SQLAlchemy(model_class=Base)

        class Note(db.Model):  # type: ignore[name-defined]
            id: Mapped[int] = mapped_column(primary_key=True)

        class Visit(db.Model):  # type: ignore[name-defined]
            __bind_key__ = "stats"
            id: Mapped[int] = mapped_column(primary_key=True)

        self.visit = Visit
        driver = "postgresql+psycopg"
        app.config["SQLALCHEMY_DATABASE_URI"] = self.stock.url("own", role, drivername=driver)
        app.config["SQLALCHEMY_BINDS"] = {"stats": self.stock.url("stats", role, drivername=driver)}
        db.init_app(app)
        self.testbed.init_app(app)
        flask_migrate.Migrate(app, db, directory=str(self.migrations))
        return app

    def run(self, *command: str) -> None:
        outcome = self.toys.run(self.app, "test-db", *command)
        assert outcome.status == 0, outcome.text

    def tables(self, name: str) -> list[Any]:
        schema = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        return self.stock.rows(schema, name)

    def assert_own_ones_untouched(self) -> None:
        for victim in self.victims:
            victim.before = self.before
            victim.assert_untouched()


@pytest.fixture(params=["boss", "maker"])
def shop(request: pytest.FixtureRequest, stock: Stock, toys: Toys, tmp_path: Path) -> Shop:
    return Shop(stock, toys, tmp_path, request.param)


def test_one_upgrade_builds_the_templates_of_all_databases(shop: Shop) -> None:
    write_multidb_migrations(shop.migrations, shop.log)
    databases = databases_of(shop.app)
    sandboxes = [Sandbox(one, target_of(one)) for one in databases]
    for database, sandbox in zip(databases, sandboxes, strict=True):
        sandbox.redirect(database)

    with ExitStack() as stack:
        for sandbox in sandboxes:
            stack.callback(sandbox.close)
            sandbox.url()
        assert shop.log.read_text().split() == ["default", "stats"]
        assert shop.tables("own_test") == ["alembic_version", "note"]
        assert shop.tables("stats_test") == ["alembic_version", "visit"]

    shop.assert_own_ones_untouched()


def test_the_commands_migrate_none_of_the_applications_own(shop: Shop) -> None:
    write_multidb_migrations(shop.migrations, shop.log)

    shop.run("check")
    shop.run("create")

    assert shop.tables("own_test") == ["alembic_version", "note"]
    shop.run("drop")
    shop.assert_own_ones_untouched()


def test_a_database_without_migrations_is_built_from_its_models(shop: Shop) -> None:
    write_migrations(shop.migrations)
    database = databases_of(shop.app)[1]
    sandbox = Sandbox(database, target_of(database))
    sandbox.redirect(database)

    try:
        assert shop.tables(str(sandbox.url().database)) == ["visit"]
    finally:
        sandbox.close()
    shop.assert_own_ones_untouched()


def test_a_hook_writes_into_none_of_the_applications_own(shop: Shop) -> None:
    @shop.testbed.template_hook
    def visits(session: Any) -> None:
        session.add(shop.visit(id=7))

    database = databases_of(shop.app)[1]
    sandbox = Sandbox(database, target_of(database))
    shop.run("create")
    shop.run("drop")
    sandbox.redirect(database)

    try:
        assert shop.stock.rows("SELECT id FROM visit", str(sandbox.url().database)) == [7]
    finally:
        sandbox.close()
    shop.assert_own_ones_untouched()
