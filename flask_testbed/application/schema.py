"""The schema of a test database: migrations or models, then template hooks.

Migrations and hooks may write to any database of the application. So all of them are built at once,
of which one is the result: meanwhile no engine leads to a database of the application's own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from weakref import ReferenceType, ref

import sqlalchemy
from psycopg import errors
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from ..errors import DatabaseError
from .contexts import own_context
from .databases import AppDatabase, databases_of
from .hooks import describe, hooks_of, run_hook
from .migrations import Migrations, has_migrations
from .models import Models
from .quiet import logging_kept


class Source(Protocol):
    """What creates the tables: :class:`.Migrations` or :class:`.Models`."""

    name: str
    """``migrations`` or ``models``."""

    advice: str
    """How a person can try it."""

    def fingerprint(self, databases: Sequence[AppDatabase]) -> str:
        """Return a text that changes with the tables. Connects to nothing."""

    def build(self, databases: Sequence[AppDatabase]) -> None:
        """Create the tables, in an application context whose engines are redirected.

        :param databases: all those of the application, the default one first.
        """


@dataclass(frozen=True)
class Schema:
    """The schema of one of an application's databases. Equal schemas have equal templates."""

    fingerprint: str
    """A hash that changes with everything from which the schema is built."""

    extensions: tuple[str, ...] = field(compare=False)
    """The PostgreSQL extensions to install, whose versions are those of the server."""

    source: Source = field(compare=False, repr=False)

    # A schema may outlive its application: the next one may have the same.
    _database: ReferenceType[AppDatabase] = field(compare=False, repr=False)

    @property
    def database(self) -> AppDatabase:
        """The database of the application whose schema it is."""
        database = self._database()
        assert database is not None, "the application has been garbage-collected"
        return database

    @property
    def others(self) -> list[AppDatabase]:
        """The other databases of the application, which are built together with it."""
        return [one for one in databases_of(self.database.app) if one is not self.database]

    def build(self, url: URL, others: Mapping[AppDatabase, URL]) -> None:
        """Build the schema in a database that has its extensions, and nothing else.

        The application's engines are redirected meanwhile, so that migrations run as
        ``flask db upgrade`` would run them.

        :param url: URL of the database.
        :param others: URLs of databases for :attr:`others`, which have their extensions as well.
        :raises DatabaseError: a migration, a statement or a hook failed.
        """
        app, session = self.database.app, self.database.db.session
        with _redirected({self.database: url, **others}):
            failing = f"The schema cannot be made from the {self.source.name}"
            with _explained(failing, self.source.advice):
                self.source.build(databases_of(app))
            for hook in hooks_of(app).functions:
                failing = f"The template hook {describe(hook)} fails"
                with _explained(failing, "Correct it, or remove it."):
                    run_hook(session, hook)


def find_schema(database: AppDatabase) -> Schema:
    """Return the schema of an application's database. Connects to nothing.

    It is built by the application's migrations, or from its models if there are none.

    :raises SettingsError: a file on which it depends does not exist.
    """
    app, databases = database.app, databases_of(database.app)
    hooks = hooks_of(app)
    source: Source = Migrations() if has_migrations(app) else Models()
    parts = (
        source.name,
        source.fingerprint(databases),
        hooks.fingerprint(Path(app.root_path)),
        sqlalchemy.__version__,
        database.bind or "",
    )
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return Schema(digest, tuple(hooks.extensions), source, ref(database))


def build_from_models(database: AppDatabase, url: URL, others: Mapping[AppDatabase, URL]) -> None:
    """Create the tables of the models, and nothing else, in a database without tables.

    :param url: URL of the database without tables.
    :param others: URLs of empty databases, to which the application's other engines lead.
    :raises DatabaseError: a statement failed.
    """
    models = Models()
    failing = "The tables cannot be made from the models"
    with _redirected({database: url, **others}), _explained(failing, models.advice):
        models.build([database])


@contextmanager
def _explained(failing: str, advice: str) -> Iterator[None]:
    """Turn any error into one sentence: the application's code may raise anything."""
    try:
        yield
    except (Exception, SystemExit) as error:
        advice = _advice_on(getattr(error, "orig", error)) or advice
        raise DatabaseError(f"{failing}: {_in_short(error)}. {advice}") from error


def _advice_on(error: BaseException | None) -> str | None:
    """Return what to do about an error that is not due to the application."""
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return (
            "The server, the database or the role has default_transaction_read_only = on. Set it to"
            " off for the role: ALTER ROLE … SET default_transaction_read_only = off;"
        )
    if missing := re.match('role (".+") does not exist', str(error)):
        return (
            "Roles belong to the server, and not to a database. Create it there, with CREATE ROLE"
            f" {missing[1]}; or before it is used, if it does not exist."
        )
    return None


def _in_short(error: BaseException) -> str:
    """Return the first line of an error, after its name unless it is the database's."""
    line = (str(error).splitlines() or [""])[0].rstrip(".")
    return line if isinstance(error, SQLAlchemyError) else f"{type(error).__name__}: {line}"


@contextmanager
def _redirected(urls: Mapping[AppDatabase, URL]) -> Iterator[None]:
    """Push an application context in which the application's databases are others.

    The URLs in the configuration are replaced too, since an ``env.py`` may create engines from it.

    :param urls: of all databases of one application.
    """
    with ExitStack() as stack:
        for database, url in urls.items():
            stack.callback(database.configure, database.configured)
            database.configure(url)
            for route in database.routes.values():
                stack.enter_context(route.detour(url))
        stack.enter_context(own_context(next(iter(urls)).app))
        stack.enter_context(logging_kept())
        yield
