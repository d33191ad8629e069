"""The database that a scenario is played in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError, OperationalError

from ..application.databases import database_of
from ..application.guards import in_production
from ..application.target import find_production
from ..errors import SeedError
from ..postgres.connecting import without_secrets
from ..postgres.labels import Label


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
    """Return whether the application's database has the engine's label and this role owns it.

    The label alone is no proof: the owner of any database can write one.
    """
    comment = text(
        "SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database"
        " WHERE datname = pg_catalog.current_database()"
        " AND pg_catalog.pg_get_userbyid(datdba) = current_user"
    )
    with reachable(db), db.engine.connect() as connection:
        return Label.read(connection.scalar(comment)) is not None


@contextlib.contextmanager
def leading_to(app: Flask, url: URL | None) -> Iterator[None]:
    """Redirect the application to another database inside the ``with`` block, if one is given."""
    if url is None:
        yield
        return
    with database_of(app).route.detour(url):
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
