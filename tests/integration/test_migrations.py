"""The migrations, played in a schema of their own that is thrown away with its transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import alembic.command
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from app.extensions import Base, migrate

Schema = frozenset[tuple[object, ...]]

# Everything that a schema consists of, in PostgreSQL's own words.
CATALOGUE = (
    """
    SELECT 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           a.attidentity::text, pg_get_expr(d.adbin, d.adrelid)
    FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
      AND a.attnum > 0 AND NOT a.attisdropped
    """,
    """
    SELECT 'constraint', conrelid::regclass::text, conname, contype::text,
           pg_get_constraintdef(oid)
    FROM pg_constraint
    WHERE connamespace = current_schema()::regnamespace
    """,
    """
    SELECT 'index', tablename, indexname,
           replace(indexdef, quote_ident(schemaname) || '.', '')
    FROM pg_indexes
    WHERE schemaname = current_schema()
    """,
)


@pytest.fixture
def connection(db: SQLAlchemy) -> Iterator[sa.Connection]:
    """A connection that sees an empty schema only; nothing of what it does remains."""
    with db.engine.connect() as opened:
        with empty_schema(opened, "migrations"):
            yield opened
        opened.rollback()


@contextmanager
def empty_schema(connection: sa.Connection, name: str) -> Iterator[None]:
    quoted = connection.dialect.identifier_preparer.quote(name)
    before = connection.scalar(sa.text("SELECT current_setting('search_path')"))
    connection.execute(sa.schema.CreateSchema(name))
    connection.execute(sa.text("SELECT set_config('search_path', :path, true)"), {"path": quoted})
    yield
    connection.execute(sa.text("SELECT set_config('search_path', :path, true)"), {"path": before})


@pytest.fixture
def config(app: Flask, connection: sa.Connection) -> Config:
    """Alembic's configuration, which lets the migrations run on that connection."""
    found: Config = migrate.get_config()
    found.attributes["connection"] = connection
    return found


@pytest.fixture
def schema(connection: sa.Connection) -> Callable[[], Schema]:
    """Look at what the schema holds now, beside Alembic's own table."""

    def look() -> Schema:
        found = (tuple(row) for query in CATALOGUE for row in connection.execute(sa.text(query)))
        return frozenset(row for row in found if row[1] != "alembic_version")

    return look


def revisions() -> list[str]:
    """All revisions, the oldest first."""
    folder = Path(__file__).parents[2] / "migrations"
    scripts = ScriptDirectory(str(folder))
    return [script.revision for script in reversed(list(scripts.walk_revisions()))]


def test_the_migrations_make_what_the_models_say(
    connection: sa.Connection, config: Config, schema: Callable[[], Schema]
) -> None:
    alembic.command.upgrade(config, "head")
    migrated = schema()
    with empty_schema(connection, "models"):
        Base.metadata.create_all(connection)
        modelled = schema()
    assert migrated == modelled
    assert len(migrated) > 200


def test_autogenerate_finds_nothing_to_do(connection: sa.Connection, config: Config) -> None:
    alembic.command.upgrade(config, "head")
    options = {"compare_type": True, "compare_server_default": True}
    context = MigrationContext.configure(connection, opts=options)
    assert compare_metadata(context, Base.metadata) == []


def test_there_is_one_line_of_revisions() -> None:
    assert revisions() == ["0001", "0002"]


def test_each_downgrade_undoes_its_upgrade(config: Config, schema: Callable[[], Schema]) -> None:
    empty = before = schema()
    for revision in revisions():
        alembic.command.upgrade(config, revision)
        after = schema()
        assert after > before
        alembic.command.downgrade(config, "-1")
        assert schema() == before, revision
        alembic.command.upgrade(config, revision)
        assert schema() == after, revision
        before = after
    alembic.command.downgrade(config, "base")
    assert schema() == empty == frozenset()
    alembic.command.upgrade(config, "head")
    assert schema() == before


def test_the_test_database_has_the_schema_of_the_migrations(
    db: SQLAlchemy, config: Config, schema: Callable[[], Schema], connection: sa.Connection
) -> None:
    alembic.command.upgrade(config, "head")
    migrated = schema()
    connection.execute(sa.text("SET LOCAL search_path TO public"))
    assert schema() == migrated


def test_a_migration_leaves_logging_alone(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("some.library")
    before = (list(logging.root.handlers), logging.root.level)
    alembic.command.upgrade(config, "head")
    assert (list(logging.root.handlers), logging.root.level) == before
    logger.warning("still heard")
    assert "still heard" in caplog.messages


def test_the_migrations_can_be_written_as_sql(
    app: Flask, capsys: pytest.CaptureFixture[str]
) -> None:
    with app.app_context():
        alembic.command.upgrade(migrate.get_config(), "head", sql=True)
    script = capsys.readouterr().out
    assert script.count("CREATE TABLE") == len(Base.metadata.tables) + 1
    assert script.strip().endswith("COMMIT;")
