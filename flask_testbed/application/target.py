"""Where test databases live, and what they are called.

The first of these that is set decides:

1. ``TEST_DATABASE_URL``, from the environment or the application's configuration;
2. the server of the application's own ``SQLALCHEMY_DATABASE_URI``, the name plus ``_test``;
3. an embedded server of the project's own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from ..embedded.server import EmbeddedServer
from ..errors import SettingsError
from .databases import AppDatabase

SUFFIX = "_test"

#: What follows a test database's name in those of concurrent runs and of workers, as a pattern.
NAMES_OF_RUNS = r"(_\d+)?(_gw\d+)?"

#: The names that a database must have to be dropped or reset.
DISPOSABLE = re.compile(f".+{SUFFIX}{NAMES_OF_RUNS}")

#: PostgreSQL keeps 63 bytes of a name (https://www.postgresql.org/docs/current/limits.html);
#: the longest thing appended to one is ``_99_gw999``, for a worker of a concurrent run.
LONGEST_NAME = 63 - len("_99_gw999")

#: What libpq would take from the query of a URL in place of what stands before it.
_DECIDED_BEFORE = {"dbname", "user", "password", "hostaddr", "service", "servicefile"}

_ACCEPTED_DRIVERS = {"postgres", "postgresql", "postgresql+psycopg"}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Target:
    """The test database that an application gets, before anything is connected to."""

    url: URL
    """Where it is. For the embedded server, only the database's name counts."""

    source: str
    """The setting that decided, as a user would look for it."""

    embedded: bool
    """Whether it lives on the project's embedded server."""

    own: URL | None
    """The application's own database, which nothing here may ever touch."""

    instance: Path
    """The application's instance folder: the identity of its embedded servers."""

    production: bool
    """Whether the application runs in production configuration, where nothing is destroyed."""

    @property
    def name(self) -> str:
        """The test database's name."""
        return str(self.url.database)


def parse_url(text: str | URL, setting: str) -> URL:
    """Read a database URL as one for psycopg 3.

    :param text: ``postgres://``, ``postgresql://`` or ``postgresql+psycopg://`` and the rest.
    :param setting: where it was found, for the message.
    :raises SettingsError: it is malformed, names another driver or database, or no database.
        The message never repeats the URL, which may hold a password.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise SettingsError(
            f"{setting} is not a database URL."
            " Write it as postgresql://user:password@host:5432/name_test."
        ) from None
    if url.drivername not in _ACCEPTED_DRIVERS:
        raise SettingsError(
            f"{setting} names the driver {url.drivername!r}, and only PostgreSQL through psycopg 3"
            " is supported. Write it as postgresql://user:password@host:5432/name_test."
        )
    if not url.database:
        raise SettingsError(f"{setting} names no database. Add one at its end: …/name_test.")
    _check_query(url, setting)
    return url.set(drivername="postgresql+psycopg")


def _check_query(url: URL, setting: str) -> None:
    """Refuse a query that would lead elsewhere than the URL says."""
    twice = {key for key in ("host", "port") if getattr(url, key) and key in url.query}
    if wrong := sorted((_DECIDED_BEFORE & url.query.keys()) | twice):
        raise SettingsError(
            f"{setting} has {', '.join(wrong)} in its query, where it decides over what stands"
            " before. Write it as postgresql://user:password@host:5432/name_test."
        )


def check_name(name: str, setting: str) -> str:
    """Return a database name that can be used as it is, everywhere.

    :raises SettingsError: it is too long once a worker's suffix is added, or holds
        characters that need quoting.
    """
    if len(name.encode()) > LONGEST_NAME:
        raise SettingsError(
            f"The database name {name!r} ({setting}) is {len(name.encode())} bytes long;"
            f" use {LONGEST_NAME} at most, since PostgreSQL cuts names at 63 and"
            " those of parallel workers are longer."
        )
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"The database name {name!r} ({setting}) holds characters that need quoting;"
            " use ASCII letters, digits, '_', '-' and '.' only."
        )
    return name


def find_target(
    app: Flask,
    own_uri: str | URL | None,
    environ: Mapping[str, str] = os.environ,
    bind: str | None = None,
) -> Target:
    """Decide where the test database of an application is.

    Connects to nothing.

    :param app: the application.
    :param own_uri: the application's own database, or ``None`` if that is the embedded
        development server's.
    :param bind: the key of another database of the application's, in ``SQLALCHEMY_BINDS``.
    :raises SettingsError: a setting that decides cannot be used.
    """
    configured: Any = environ.get("TEST_DATABASE_URL") or app.config.get("TEST_DATABASE_URL")
    own = _own_url(own_uri)
    if configured:
        url, source = parse_url(configured, "TEST_DATABASE_URL"), "TEST_DATABASE_URL"
    elif own is not None:
        url = own.set(database=f"{own.database}{SUFFIX}")
        source = "the server of SQLALCHEMY_DATABASE_URI"
    else:
        url = URL.create("postgresql+psycopg", database=f"{slug(app.name)}{SUFFIX}")
        source = "the embedded server"
    if bind is not None and (configured or own is None):
        # What says where the default database is says it for this one too.
        name = str(url.database).removesuffix(SUFFIX)
        url = url.set(database=f"{name}_{slug(bind)}{SUFFIX}")
    check_name(str(url.database), source)
    return Target(
        url=url,
        source=source,
        embedded=not configured and own is None,
        own=own,
        instance=Path(app.instance_path),
        production=is_production(app, environ),
    )


def is_production(app: Flask, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the application says that it runs in production.

    It does with ``ENVIRONMENT = "production"`` in its configuration, or in the environment
    with ``APP_ENV``, ``FLASK_ENV`` or ``ENVIRONMENT``.
    """
    said = [app.config.get("ENVIRONMENT"), app.config.get("ENV")]
    said += [environ.get(key) for key in ("APP_ENV", "FLASK_ENV", "ENVIRONMENT")]
    return any(str(value).lower() in {"production", "prod"} for value in said)


def slug(name: str) -> str:
    """Make a database name of an application's name."""
    return re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")[:40] or "app"


def _own_url(uri: str | URL | None) -> URL | None:
    """Read the application's own URL, if it is one of PostgreSQL, with whatever driver."""
    if uri is None:
        return None
    url = make_url(uri)
    # SQLite and others are no server on which a test database could live.
    return url.set(drivername="postgresql+psycopg") if _is_postgresql(url) else None


def _is_postgresql(url: URL) -> bool:
    return url.drivername.split("+")[0] in {"postgres", "postgresql"}


pass


def is_development(url: URL, instance: Path | str) -> bool:
    """Whether a URL leads to the embedded development server."""
    server = EmbeddedServer(Path(instance), "development")
    return url.query.get("host") == str(server.sockets)


def target_of(database: AppDatabase) -> Target:
    """Where an application's test database is. Connects to nothing.

    :raises SettingsError: a setting cannot be used.
    """
    app, own = database.app, database.own_url
    development = is_development(own, app.instance_path)
    return find_target(app, None if development else own, bind=database.bind)
