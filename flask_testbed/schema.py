"""What a test database's schema is made of: migrations where there are any, else the models."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import create_mock_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from .engines import State
from .errors import DatabaseError


@dataclass(frozen=True)
class Schema:
    """The application's schema, before it is in any database."""

    source: str
    """``migrations`` or ``models``."""

    fingerprint: str
    """Changes with anything that the schema is made of."""


def find_schema(app: Flask, state: State) -> Schema:
    """Say what an application's schema is made of. Connects to nothing."""
    directory = _migrations(app)
    if directory is not None:
        return Schema("migrations", _hash_files(directory))
    return Schema("models", hashlib.sha256(_ddl(state).encode()).hexdigest())


def build_schema(app: Flask, state: State, schema: Schema, url: URL) -> None:
    """Make the schema in an empty database.

    The application's engine leads there for as long as it takes, so that migrations run as
    ``flask db upgrade`` would run them.

    :raises DatabaseError: a migration or a statement failed.
    """
    with app.app_context(), state.route.detour(url), _logging_kept():
        try:
            if schema.source == "migrations":
                _upgrade(app)
            else:
                state.db.create_all(None)
        except SQLAlchemyError as error:
            raise DatabaseError(
                f"The schema cannot be made from the {schema.source}: {_first_line(error)}."
                " Try it with: flask db upgrade"
                if schema.source == "migrations"
                else f"The schema cannot be made from the models: {_first_line(error)}."
            ) from error


def _migrations(app: Flask) -> Path | None:
    """The folder of the application's migrations, if it has any."""
    configured = app.extensions.get("migrate")
    if configured is None:
        return None
    directory = Path(configured.directory)
    return directory if any(directory.glob("versions/*.py")) else None


def _upgrade(app: Flask) -> None:
    # Not flask_migrate.upgrade(): it ends the process when something fails.
    from alembic import command
    from alembic.util import CommandError

    configured = app.extensions["migrate"]
    config = configured.migrate.get_config(configured.directory)
    try:
        command.upgrade(config, "heads")
    except CommandError as error:
        raise DatabaseError(
            f"The migrations in {configured.directory} cannot be run: {error}."
            " Look at them with: flask db history"
        ) from error


def _hash_files(directory: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(directory)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _ddl(state: State) -> str:
    """The statements that would make the tables."""
    statements: list[str] = []

    def collect(statement: Any, *_: Any, **__: Any) -> None:
        statements.append(str(statement.compile(dialect=engine.dialect)))

    engine = create_mock_engine("postgresql+psycopg://", collect)
    state.db.metadata.create_all(engine, checkfirst=False)
    return ";\n".join(statements)


@contextmanager
def _logging_kept() -> Iterator[None]:
    """Keep the logging as it is: Alembic's env.py configures it for a command of its own."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    loggers = [log for log in root.manager.loggerDict.values() if isinstance(log, logging.Logger)]
    kept = [(log, log.level, log.disabled, list(log.handlers), log.propagate) for log in loggers]
    disabled = root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(disabled)
        root.handlers[:] = handlers
        root.setLevel(level)
        for log, log_level, log_disabled, log_handlers, propagate in kept:
            log.setLevel(log_level)
            log.disabled, log.propagate = log_disabled, propagate
            log.handlers[:] = log_handlers


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")
