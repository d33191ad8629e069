"""Migrations of toy applications."""

from __future__ import annotations

import textwrap
from pathlib import Path

import flask_migrate
from flask import Flask

from .toys import Toys

ENV = """
    from alembic import context
    from flask import current_app

    db = current_app.extensions["migrate"].db
    with db.engine.connect() as connection:
        context.configure(connection=connection, target_metadata=db.metadata)
        with context.begin_transaction():
            context.run_migrations()
"""

MIGRATION = """
    import sqlalchemy as sa
    from alembic import op

    revision = "1"
    down_revision = None

    def upgrade():
        op.create_table("shelf", sa.Column("id", sa.Integer, primary_key=True))
"""


def write_migrations(folder: Path, migration: str = MIGRATION) -> None:
    """Write a folder with one migration, which makes a table called shelf."""
    (folder / "versions").mkdir(parents=True, exist_ok=True)
    (folder / "alembic.ini").write_text("[alembic]\n")
    (folder / "env.py").write_text(textwrap.dedent(ENV))
    (folder / "versions" / "1_shelf.py").write_text(textwrap.dedent(migration))


def migrated(toys: Toys, uri: str, migrations: Path) -> Flask:
    """Return an application with a folder of migrations."""
    app = toys.app(uri)
    flask_migrate.Migrate(app, app.extensions["sqlalchemy"], directory=str(migrations))
    return app


MULTIDB = """
    import sqlalchemy as sa
    from alembic import op

    revision = "1"
    down_revision = None

    def upgrade(engine_name):
        with open({log!r}, "a") as log:
            print(engine_name or "default", file=log)
        name = "visit" if engine_name else "note"
        op.create_table(name, sa.Column("id", sa.Integer, primary_key=True))
"""


def write_multidb_migrations(folder: Path, log: Path) -> None:
    """Write a folder as ``flask db init --multidb`` does, with one migration.

    :param log: the file to which each run of the migration appends the name of the database.
    """
    shipped = Path(flask_migrate.__file__).parent / "templates" / "flask-multidb"
    (folder / "versions").mkdir(parents=True)
    (folder / "alembic.ini").write_text((shipped / "alembic.ini.mako").read_text())
    # It tries a method first that is deprecated.
    env = (
        (shipped / "env.py").read_text().replace(".get_engine(bind=bind_key)", ".engines[bind_key]")
    )
    (folder / "env.py").write_text(env)
    text = textwrap.dedent(MULTIDB).format(log=str(log))
    (folder / "versions" / "1_first.py").write_text(text)
