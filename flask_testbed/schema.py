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
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.mock import MockConnection
from sqlalchemy.exc import SQLAlchemyError

from .engines import State
from .errors import DatabaseError

_TRY = {
    "migrations": "Try them on the application's own database with: flask db upgrade",
    "models": "Try them in a shell with: db.create_all()",
}


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
    with app.app_context(), _leading_to(app, state, url), _logging_kept():
        try:
            if schema.source == "migrations":
                _upgrade(app)
            else:
                state.db.create_all(None)
        # What is run is the application's own code, which may raise whatever it likes.
        except (Exception, SystemExit) as error:
            raise DatabaseError(
                f"The schema cannot be made from the {schema.source}: {_in_short(error)}."
                f" {_TRY[schema.source]}"
            ) from error


@contextmanager
def _leading_to(app: Flask, state: State, url: URL) -> Iterator[None]:
    """Lead every way to the application's own database to another one meanwhile.

    An ``env.py`` may take the URL from the configuration, and make an engine of its own.
    """
    configured = app.config["SQLALCHEMY_DATABASE_URI"]
    app.config["SQLALCHEMY_DATABASE_URI"] = url.render_as_string(hide_password=False)
    try:
        with state.route.detour(url):
            yield
    finally:
        app.config["SQLALCHEMY_DATABASE_URI"] = configured


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

    configured = app.extensions["migrate"]
    command.upgrade(configured.migrate.get_config(configured.directory), "heads")


def _hash_files(directory: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(directory)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _ddl(state: State) -> str:
    """The statements that would make the tables, and what listeners to that would add."""
    recorder = _Recorder()
    state.db.metadata.create_all(recorder, checkfirst=False)
    return ";\n".join(recorder.statements)


class _Recorder(MockConnection):
    """A connection that only notes what it is asked for."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        super().__init__(make_url("postgresql+psycopg://").get_dialect()(), self._note)

    def _note(self, statement: Any, *parameters: Any, **_: Any) -> None:
        compile_ = getattr(statement, "compile", None)
        text = compile_(dialect=self.dialect) if compile_ else statement
        self.statements.append(f"{text}{parameters or ''}")

    def __getattr__(self, name: str) -> Any:
        # exec_driver_sql, scalar and others, which a mock connection lacks.
        return self._note


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


def _in_short(error: BaseException) -> str:
    """What an error says, in a line; by its name too, unless the database has said it."""
    line = (str(error).splitlines() or [""])[0].rstrip(".")
    return line if isinstance(error, SQLAlchemyError) else f"{type(error).__name__}: {line}"
