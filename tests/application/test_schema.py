"""Schemas from the migrations or the models of an application."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.support.migrations import MIGRATION, migrated, write_migrations
from tests.support.servers import Stock
from tests.support.toys import Toys, toy_db

OLD_ENV = """
    from alembic import context
    from flask import current_app
    from sqlalchemy import engine_from_config, pool

    config = context.config
    config.set_main_option(
        "sqlalchemy.url", current_app.config["SQLALCHEMY_DATABASE_URI"].replace("%", "%%")
    )
    connectable = engine_from_config(
        config.get_section(config.config_ini_section),
        prefix="sqlalchemy.",
        poolclass=pool.NullPool,
    )
    connection = connectable.connect()
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
    connection.close()
"""


def test_migrations_that_make_their_own_engine_do_not_reach_the_own_database(
    stock: Stock, toys: Toys, migrations: Path
) -> None:
    """As env.py of Flask-Migrate 2 did, and as many projects still do."""
    own = stock.create("own")
    (migrations / "env.py").write_text(textwrap.dedent(OLD_ENV))

    outcome = toys.run(migrated(toys, stock.url("own"), migrations), "test-db", "create")

    tables = "SELECT relname FROM pg_class WHERE relkind = 'r' AND oid > 16383"
    assert stock.rows(tables, "own") == ["precious"]
    assert outcome.status == 0, outcome.text
    assert stock.rows("SELECT count(*) FROM shelf", "own_test") == [0]
    assert own.name == "own"


@pytest.mark.parametrize(
    "statement", ["raise RuntimeError('by hand')", "raise SystemExit(3)", "import nonsense"]
)
def test_a_migration_that_raises_is_one_sentence(
    stock: Stock, toys: Toys, migrations: Path, statement: str
) -> None:
    before = stock.databases()
    write_migrations(migrations, MIGRATION + f"        {statement}\n")

    outcome = toys.run(migrated(toys, stock.url("own"), migrations), "test-db", "create")

    assert stock.databases() == before
    outcome.assert_says("The schema cannot be made from the migrations")


@pytest.mark.parametrize("how", ["exec_driver_sql('SELECT 1')", "scalar(sa.text('SELECT 1'))"])
def test_a_listener_of_the_models_may_do_anything(stock: Stock, toys: Toys, how: str) -> None:
    db = toy_db()

    def listener(target: object, connection: sa.Connection, **_: object) -> None:
        if how.startswith("exec"):
            connection.exec_driver_sql("SELECT 1")
        else:
            connection.scalar(sa.text("SELECT 1"))

    sa.event.listen(db.metadata.tables["book"], "after_create", listener)

    assert toys.run(toys.app(stock.url("own"), db), "test-db", "create").status == 0


def test_the_server_ends_the_engines_session_meanwhile(
    stock: Stock, toys: Toys, migrations: Path
) -> None:
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    kill += " WHERE application_name = 'flask-testbed'"
    write_migrations(migrations, f"{MIGRATION}        op.execute({kill!r})\n")

    outcome = toys.run(migrated(toys, stock.url("own"), migrations), "test-db", "create")

    outcome.assert_says()


@pytest.mark.filterwarnings("ignore:Revision 0 referenced:UserWarning")
def test_a_history_that_is_broken_is_one_sentence(
    stock: Stock, toys: Toys, migrations: Path
) -> None:
    before = stock.databases()
    broken = MIGRATION.replace("down_revision = None", "down_revision = '0'")
    write_migrations(migrations, broken)

    outcome = toys.run(migrated(toys, stock.url("own"), migrations), "test-db", "create")

    outcome.assert_says()
    assert stock.databases() == before
