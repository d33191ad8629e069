"""Where the test database of an application is, and its name.

The first of these that is set decides:

1. ``TEST_DATABASE_URL``, from the environment or the application's configuration;
2. the server of the application's own ``SQLALCHEMY_DATABASE_URI``, the name plus ``_test``;
3. the project's embedded server.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from ..embedded.server import EmbeddedServer
from ..errors import SettingsError
from ..postgres.server import MAINTENANCE
from .databases import AppDatabase, databases_of

SUFFIX = "_test"

#: Pattern of what is appended to the name in concurrent runs and in workers.
NAMES_OF_RUNS = r"(_\d+)?(_gw\d+)?"

#: Names of databases that may be dropped or reset.
DISPOSABLE = re.compile(f".+{SUFFIX}{NAMES_OF_RUNS}")

#: The names of an environment that is not production. If in doubt, it is.
NOT_PRODUCTION = (
    *("development", "develop", "dev", "local", "debug"),
    *("testing", "tests", "test", "ci"),
)

#: PostgreSQL keeps 63 bytes of a name (https://www.postgresql.org/docs/current/limits.html), and
#: up to nine are appended for a worker of a concurrent run: ``_99_gw999``.
LONGEST_NAME = 63 - len("_99_gw999")

#: Parameters that libpq would take from the query of a URL rather than from the rest of it.
_NOT_IN_QUERY = {"dbname", "user", "password", "hostaddr", "service", "servicefile"}

_ACCEPTED_DRIVERS = {"postgres", "postgresql", "postgresql+psycopg"}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Target:
    """Where the test database of an application is. Finding it connects to nothing."""

    url: URL
    """URL of the test database. For the embedded server, only the name counts."""

    source: str
    """Name of the setting that decided, for messages."""

    embedded: bool
    """Whether the test database is on the project's embedded server."""

    own: tuple[URL, ...]
    """URLs of the application's own databases, which must never be touched."""

    instance: Path
    """The application's instance folder, which identifies its embedded servers."""

    production: str
    """The setting by which the application runs in production, or an empty text.

    Nothing is destroyed there.
    """

    maintenance: str = MAINTENANCE
    """Name of the database in which locks are held on an external server."""

    @property
    def name(self) -> str:
        """Name of the test database."""
        return str(self.url.database)


def parse_url(text: str | URL, setting: str) -> URL:
    """Return a database URL for psycopg 3.

    :param text: a URL that begins with ``postgres://``, ``postgresql://`` or
        ``postgresql+psycopg://``.
    :param setting: where it was found, for the message.
    :raises SettingsError: it is malformed, is for another driver, or names no database. The
        message does not contain the URL, which may hold a password.
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
    check_no_at_sign(url, setting)
    return url.set(drivername="postgresql+psycopg")


def check_no_at_sign(url: URL, setting: str) -> None:
    """Refuse a URL in which a part of the password is taken for the host or the database.

    :raises SettingsError: it has an ``@`` there. The message does not contain the password.
    """
    if "@" in f"{url.host}{url.database}":
        raise SettingsError(
            f"{setting} is not a database URL: it has an '@' too many. Write it as"
            " postgresql://user:password@host:5432/name_test, and in the user and the password"
            " write %40 for '@', %3A for ':' and %2F for '/'."
        )


def _check_query(url: URL, setting: str) -> None:
    """Refuse a query that overrides the rest of the URL."""
    twice = {key for key in ("host", "port") if getattr(url, key) and key in url.query}
    if wrong := sorted((_NOT_IN_QUERY & url.query.keys()) | twice):
        raise SettingsError(
            f"{setting} has {', '.join(wrong)} in its query, where it decides over what stands"
            " before. Write it as postgresql://user:password@host:5432/name_test."
        )


def check_name(name: str, setting: str) -> str:
    """Return a database name if it needs no quoting anywhere.

    :raises SettingsError: it does, or it is too long for the suffix of a worker.
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
    others: Iterable[URL] = (),
) -> Target:
    """Decide where the test database of an application is. Connects to nothing.

    :param app: the application.
    :param own_uri: URL of the application's own database, or None if it has none.
    :param bind: key of the database in ``SQLALCHEMY_BINDS``; None for the default database.
    :param others: URLs of its other databases.
    :raises SettingsError: a setting cannot be used.
    """
    configured: Any = environ.get("TEST_DATABASE_URL") or app.config.get("TEST_DATABASE_URL")
    own = _own_url(own_uri)
    server = own if own is not None and not is_development(own, app.instance_path) else None
    if configured:
        url, source = parse_url(configured, "TEST_DATABASE_URL"), "TEST_DATABASE_URL"
    elif server is not None:
        url, source = _beside(server, bind), "the server of SQLALCHEMY_DATABASE_URI"
    else:
        url = URL.create("postgresql+psycopg", database=f"{slug(app.name)}{SUFFIX}")
        source = "the embedded server"
    if bind is not None and (configured or server is None):
        # The URL or name is that of the default database.
        name = str(url.database).removesuffix(SUFFIX)
        url = url.set(database=f"{name}_{slug(bind)}{SUFFIX}")
    check_name(str(url.database), source)
    return Target(
        url=url,
        source=source,
        embedded=not configured and server is None,
        own=tuple(dict.fromkeys([*([own] if own is not None else []), *others])),
        instance=Path(app.instance_path),
        production=find_production(app, environ),
        maintenance=_find_maintenance(app, environ),
    )


def _beside(own: URL, bind: str | None) -> URL:
    """Return the URL of the test database beside the application's own one.

    :raises SettingsError: the name of the own one is not in its URL.
    """
    # libpq prefers the query.
    name = own.query.get("dbname") or own.database
    if not isinstance(name, str) or not name:
        setting = f"SQLALCHEMY_BINDS[{bind!r}]" if bind else "SQLALCHEMY_DATABASE_URI"
        raise SettingsError(
            f"{setting} names no database. Add one at its end, as in postgresql://host/name, or"
            " say where the test database is with TEST_DATABASE_URL."
        )
    return own.difference_update_query(["dbname"]).set(database=f"{name}{SUFFIX}")


def _find_maintenance(app: Flask, environ: Mapping[str, str]) -> str:
    """Return the name of the maintenance database.

    :raises SettingsError: locks cannot be held in it.
    """
    key = "TEST_DATABASE_MAINTENANCE"
    name = str(environ.get(key) or app.config.get(key) or MAINTENANCE)
    if name in {"template0", "template1"} or DISPOSABLE.fullmatch(name):
        raise SettingsError(
            f"TEST_DATABASE_MAINTENANCE names {name!r}. Name a database that stays and is not a"
            " template: a connection to it is kept while tests run, and would forbid to drop or"
            " clone it."
        )
    return name


def find_production(app: Flask, environ: Mapping[str, str] = os.environ) -> str:
    """Return the setting by which the application runs in production, as ``APP_ENV='live'``.

    The settings are ``APP_ENV``, ``FLASK_ENV`` and ``ENVIRONMENT``, in its configuration and in
    the environment, and ``ENV`` in its configuration. Every value means production, unless it
    is one of :data:`NOT_PRODUCTION`.

    :returns: an empty text if it does not run in production.
    """
    keys = ("APP_ENV", "FLASK_ENV", "ENVIRONMENT")
    said = [(key, app.config.get(key)) for key in (*keys, "ENV")]
    said += [(key, environ.get(key)) for key in keys]
    for key, value in said:
        word = value.value if isinstance(value, Enum) else value
        if word is not None and str(word).strip().casefold() not in {"", *NOT_PRODUCTION}:
            return f"{key}={str(word)!r}"
    return ""


def slug(name: str) -> str:
    """Return a database name for an application's name."""
    return re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")[:40] or "app"


def _own_url(uri: str | URL | None) -> URL | None:
    """Return the URL of the application's own database, or None if it is not PostgreSQL."""
    if uri is None:
        return None
    url = make_url(uri)
    check_no_at_sign(url, "SQLALCHEMY_DATABASE_URI")
    is_postgresql = url.drivername.split("+")[0] in {"postgres", "postgresql"}
    return url.set(drivername="postgresql+psycopg") if is_postgresql else None


def is_development(url: URL, instance: Path | str) -> bool:
    """Return whether a URL leads to the embedded development server."""
    server = EmbeddedServer(Path(instance), "development")
    return url.query.get("host") == str(server.sockets)


def target_of(database: AppDatabase) -> Target:
    """Return where the test database of an application's database is. Connects to nothing.

    :raises SettingsError: a setting cannot be used.
    """
    app = database.app
    others = [url for one in databases_of(app) for url in one.protected_urls]
    return find_target(app, database.own_url, bind=database.bind, others=others)
