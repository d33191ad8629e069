"""The database that a scenario is played in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError

from ..application.databases import databases_of
from ..application.guards import in_production
from ..application.target import find_production
from ..errors import SeedError
from ..postgres.connecting import without_secrets
from ..postgres.database import Database
from ..postgres.labels import DISPOSABLE_KINDS

_BIND_REFUSED = (
    "Refused: the scenario connects to the database of the bind {!r}, which is the application's"
    " own: --database-url only says where the default database is. Let SQLALCHEMY_BINDS say where"
    " that one is, and play the scenario without --database-url."
)


def check_reset(app: Flask) -> None:
    """Refuse to empty tables in production.

    :raises RefusedError: the application runs in production configuration.
    """
    if setting := find_production(app):
        raise in_production(setting, "no table is emptied")


def reach(db: SQLAlchemy) -> URL:
    """Connect to the application's database, and return its URL.

    :raises SeedError: it cannot be reached.
    """
    with reachable(db), db.engine.connect():
        # The engine may be redirected when it connects.
        return db.engine.url


def is_marked(db: SQLAlchemy) -> bool:
    """Return whether the application's database is a test database whose label counts."""
    statement = text(
        "SELECT datname, oid, pg_catalog.pg_get_userbyid(datdba),"
        " pg_catalog.shobj_description(oid, 'pg_database'), 0, current_user"
        " FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()"
    )
    with reachable(db), db.engine.connect() as connection:
        name, oid, owner, comment, count, role = connection.execute(statement).one()
    return Database.found(name, oid, owner, comment, count, role).kind in DISPOSABLE_KINDS


def has_rows(db: SQLAlchemy) -> bool:
    """Return whether a table of the application holds rows, as far as this can be known."""
    quoted = db.engine.dialect.identifier_preparer.format_table
    tests = [f"EXISTS (SELECT FROM {quoted(table)})" for table in db.metadata.sorted_tables]
    try:
        with reachable(db), db.engine.connect() as connection:
            # Rows that a policy hides would make this an error: they are emptied, too.
            connection.execute(text("SET LOCAL row_security = off"))
            return bool(connection.scalar(text(f"SELECT {' OR '.join(tests) or 'false'}")))
    except ProgrammingError:
        return True


@contextlib.contextmanager
def leading_to(app: Flask, url: URL | None) -> Iterator[None]:
    """Redirect the application to another database inside the ``with`` block, if one is given.

    Its binds for other databases are refused then, since no URL is given for them;
    in tests, they lead to their test databases.
    """
    if url is None:
        yield
        return
    default, *others = databases_of(app)
    with contextlib.ExitStack() as stack:
        for route in default.routes.values():
            stack.enter_context(route.detour(url))
        for database in others:
            refusal = _BIND_REFUSED.format(database.bind)
            for route in database.routes.values():
                if not route.is_test:
                    stack.enter_context(route.detour(database.own_url, refusal=refusal))
        yield


@contextlib.contextmanager
def reachable(db: SQLAlchemy) -> Iterator[None]:
    """Raise `SeedError` if the server is down, or a lock is not granted in time."""
    try:
        yield
    except OperationalError as error:
        where = without_secrets(db.engine.url)
        raise SeedError(f"Nothing was written to {where}: {reason_of(error)}") from error


def reason_of(error: DBAPIError) -> str:
    """Return the first line of the server's message."""
    return str(error.orig).strip().partition("\n")[0]
