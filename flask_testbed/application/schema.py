"""What a test database's schema is made of: migrations where there are any, else the models."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from configparser import RawConfigParser
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import sqlalchemy
from flask import Flask
from sqlalchemy import MetaData
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.mock import MockConnection
from sqlalchemy.exc import SQLAlchemyError

from ..errors import DatabaseError
from .databases import AppDatabase
from .fingerprint import files_below, hash_files, imported_by
from .hooks import Hooks, add_extensions, describe, hooks_of, run_hooks
from .quiet import logging_kept

_TRY = {
    "migrations": "Try them on the application's own database with: flask db upgrade",
    "models": "Try them in a shell with: db.create_all()",
}

_INSTALL = (
    "Install it on the server's machine, or let an administrator run CREATE EXTENSION in the"
    " database template1."
)


@dataclass(frozen=True)
class Schema:
    """The application's schema, before it is in any database."""

    source: str
    """``migrations`` or ``models``."""

    fingerprint: str
    """Changes with anything that the schema is made of."""

    extensions: tuple[str, ...] = ()
    """Extensions of PostgreSQL that it needs, whose versions are the server's."""


def find_schema(database: AppDatabase) -> Schema:
    """Say what an application's schema is made of. Connects to nothing.

    :raises SettingsError: something that it depends on is not there.
    """
    hooks, app = _hooks(database), database.app
    source = "migrations" if database.bind is None and _migrations(app) else "models"
    parts = [hooks.fingerprint(Path(app.root_path)), sqlalchemy.__version__]
    if source == "migrations":
        # Alembic names constraints by the convention of the models.
        parts += [_hash_migrations(app), version("alembic"), _convention(database)]
    else:
        parts += [_ddl(database)]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return Schema(source, digest, tuple(hooks.extensions))


def build_schema(database: AppDatabase, schema: Schema, url: URL) -> None:
    """Make the schema in an empty database: extensions, migrations or models, hooks.

    The application's engine leads there for as long as it takes, so that migrations run as
    ``flask db upgrade`` would run them.

    :raises DatabaseError: an extension, a migration, a statement or a hook failed.
    """
    hooks, session = _hooks(database), database.db.session
    with leading_to(database, url):
        try:
            with _explained("An extension cannot be installed", _INSTALL):
                add_extensions(session, hooks)
            failing = f"The schema cannot be made from the {schema.source}"
            with _explained(failing, _TRY[schema.source]):
                _make(database, schema)
            for function in hooks.functions:
                failing = f"The template hook {describe(function)} fails"
                with _explained(failing, "Mend it, or take it away."):
                    run_hooks(session, Hooks(functions=[function]))
        finally:
            session.remove()


def build_tables(database: AppDatabase, url: URL) -> None:
    """Make what the models say, and nothing else, in a database without tables.

    :raises DatabaseError: a statement failed.
    """
    failing = "The tables cannot be made from the models"
    with leading_to(database, url), _explained(failing, _TRY["models"]):
        database.db.create_all(list(database.routes))


def _make(database: AppDatabase, schema: Schema) -> None:
    if schema.source == "migrations":
        _upgrade(database.app)
    else:
        database.db.create_all(list(database.routes))


def _hooks(database: AppDatabase) -> Hooks:
    """The hooks of the application's default database: it is that to which its session leads."""
    return hooks_of(database.app) if database.bind is None else Hooks()


@contextmanager
def _explained(failing: str, way_out: str) -> Iterator[None]:
    """Say in a sentence what fails: the application's own code may raise whatever it likes."""
    try:
        yield
    except (Exception, SystemExit) as error:
        raise DatabaseError(f"{failing}: {_in_short(error)}. {way_out}") from error


@contextmanager
def leading_to(database: AppDatabase, url: URL) -> Iterator[None]:
    """Push a context in which the application's database is another one, and logging is quiet."""
    with database.app.app_context(), _leading_to(database, url), logging_kept():
        yield


@contextmanager
def _leading_to(database: AppDatabase, url: URL) -> Iterator[None]:
    """Lead every way to the application's own database to another one meanwhile.

    An ``env.py`` may take the URL from the configuration, and make an engine of its own.
    """
    configured = database.configured
    database.configure(url)
    try:
        with ExitStack() as detours:
            for route in database.routes.values():
                detours.enter_context(route.detour(url))
            yield
    finally:
        database.configure(configured)


def _migrations(app: Flask) -> list[Path]:
    """The folders of the application's migrations, the first with ``env.py``; none without any."""
    configured = app.extensions.get("migrate")
    if configured is None:
        return []
    directory = Path(configured.directory)
    versions = _version_locations(directory)
    return [directory, *versions] if any(any(v.glob("*.py")) for v in versions) else []


def _version_locations(directory: Path) -> list[Path]:
    """Where the revisions are, by ``alembic.ini``. (Alembic's own reader takes long to import.)

    https://alembic.sqlalchemy.org/en/latest/branches.html#setting-up-multiple-version-directories
    """
    parser = RawConfigParser()
    parser.read(directory / "alembic.ini")
    given = parser.get("alembic", "version_locations", fallback="")
    here = given.replace("%(here)s", str(directory))
    words = re.split(rf"[\s,{re.escape(os.pathsep)}]+", here.strip())
    return [Path(word) for word in words if word] or [directory / "versions"]


def _hash_migrations(app: Flask) -> str:
    folders = _migrations(app)
    files = files_below(folders)
    return hash_files([*files, *imported_by(files)], folders[0])


def _convention(database: AppDatabase) -> str:
    """The naming convention of the models. Functions in it count by their names."""
    convention = database.db.metadata.naming_convention
    words = {str(key): getattr(value, "__qualname__", value) for key, value in convention.items()}
    return repr(sorted(words.items()))


def _upgrade(app: Flask) -> None:
    # Not flask_migrate.upgrade(): it ends the process when something fails.
    from alembic import command

    configured = app.extensions["migrate"]
    command.upgrade(configured.migrate.get_config(configured.directory), "heads")


def _ddl(database: AppDatabase) -> str:
    """The statements that would make the tables, and what listeners to that would add."""
    recorder = _Recorder()
    for key in database.routes:
        # A bind without models has no metadata.
        database.db.metadatas.get(key, MetaData()).create_all(recorder, checkfirst=False)
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


def _in_short(error: BaseException) -> str:
    """What an error says, in a line; by its name too, unless the database has said it."""
    line = (str(error).splitlines() or [""])[0].rstrip(".")
    return line if isinstance(error, SQLAlchemyError) else f"{type(error).__name__}: {line}"
