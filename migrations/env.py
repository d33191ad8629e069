"""How Alembic reaches the application's models and its database.

It sets up no logging: `logging.config.fileConfig` would take down the handlers of whoever runs a
migration, be it the application, a command or a test.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context
from flask import current_app

migrate = current_app.extensions["migrate"]
metadata = migrate.db.metadatas[None]


def drop_empty_revision(_context: Any, _revision: Any, directives: list[Any]) -> None:
    """Write no file for ``flask db migrate`` where nothing has changed."""
    generated = getattr(context.config.cmd_opts, "autogenerate", False)
    if generated and directives[0].upgrade_ops.is_empty():
        directives.clear()


def options() -> dict[str, Any]:
    return {"process_revision_directives": drop_empty_revision, **migrate.configure_args}


def run_offline() -> None:
    """Write the SQL instead of running it (``flask db upgrade --sql``)."""
    url = migrate.db.engine.url
    context.configure(url=url, target_metadata=metadata, literal_binds=True, **options())
    with context.begin_transaction():
        context.run_migrations()


def run_online(connection: sa.Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, **options())
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
# A caller may give a connection of its own, and with it the transaction and the schema to use.
elif given := context.config.attributes.get("connection"):
    run_online(given)
else:
    with migrate.db.engine.connect() as connection:
        run_online(connection)
