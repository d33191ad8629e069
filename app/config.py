"""The application's settings: one class for each environment, the rest from the environment.

``APP_ENV``
    ``development`` (the default), ``testing`` or ``production``.
``DATABASE_URL``
    The PostgreSQL database. ``postgres://``, ``postgresql://`` and ``postgresql+psycopg://``
    all mean psycopg 3.
``SECRET_KEY``
    Signs what the application gives to a browser. Production has no default for it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar

import click
import sqlalchemy as sa
from flask import Config

__all__ = [
    "ConfigError",
    "DevelopmentConfig",
    "ProductionConfig",
    "TestingConfig",
    "configure",
    "database_url",
]

DRIVER = "postgresql+psycopg"
ACCEPTED_DRIVERS = frozenset({"postgres", "postgresql", DRIVER})
EXAMPLE_URL = "postgresql://USER:PASSWORD@HOST/DATABASE"


class ConfigError(click.ClickException):
    """A setting is missing or cannot be used; a command prints the message, not a traceback."""


class BaseConfig:
    """What all environments share."""

    ENVIRONMENT: ClassVar[str]
    MAX_CONTENT_LENGTH = 1024 * 1024


class DevelopmentConfig(BaseConfig):
    """On a developer's own machine."""

    ENVIRONMENT = "development"
    SECRET_KEY = "development only"


class TestingConfig(BaseConfig):
    """Under a test runner."""

    # pytest would otherwise take a name that begins with "Test" for a test class.
    __test__ = False

    ENVIRONMENT = "testing"
    TESTING = True
    SECRET_KEY = "testing only"


class ProductionConfig(BaseConfig):
    """Where it matters."""

    ENVIRONMENT = "production"
    SESSION_COOKIE_SECURE = True
    SESSION_COOKIE_SAMESITE = "Lax"
    SQLALCHEMY_ENGINE_OPTIONS: ClassVar[dict[str, Any]] = {"pool_pre_ping": True}


ENVIRONMENTS: Mapping[str, type[BaseConfig]] = {
    choice.ENVIRONMENT: choice for choice in (DevelopmentConfig, TestingConfig, ProductionConfig)
}


def configure(target: Config, overrides: Mapping[str, Any] | object | None = None) -> None:
    """Fill ``target`` from ``APP_ENV``'s class, then the environment, then ``overrides``.

    :param overrides: A mapping, or an object whose upper-case attributes are the settings.
    :raises ConfigError: A setting is missing or cannot be used; the message names it.
    """
    target.from_object(_environment())
    target.from_mapping(_environment_variables())
    _apply(target, overrides)
    # A copy: what one application's engine is given must not reach the next one's.
    target["SQLALCHEMY_ENGINE_OPTIONS"] = dict(target.get("SQLALCHEMY_ENGINE_OPTIONS", {}))
    target["SQLALCHEMY_DATABASE_URI"] = database_url(target.get("SQLALCHEMY_DATABASE_URI"))
    if not target.get("SECRET_KEY"):
        raise ConfigError("SECRET_KEY is not set. Production needs one: a long random string.")


def database_url(url: str | sa.URL | None) -> str:
    """Give ``url`` the form that means psycopg 3.

    :raises ConfigError: There is none, or it is of another database or driver. Nothing of the URL
        but its driver is ever quoted, so that no password is printed.
    """
    if not url:
        raise ConfigError(
            f"DATABASE_URL is not set. Set it to a PostgreSQL database ({EXAMPLE_URL}),"
            ' or give create_app() a configuration with "SQLALCHEMY_DATABASE_URI".'
            " The commands of manage.py need neither: they start a server of their own."
        )
    parsed = _parse(url)
    if parsed.drivername not in ACCEPTED_DRIVERS:
        raise ConfigError(
            f"DATABASE_URL begins with {parsed.drivername!r}, but this application needs"
            f" PostgreSQL through psycopg 3: {EXAMPLE_URL}."
        )
    return parsed.set(drivername=DRIVER).render_as_string(hide_password=False)


def _parse(url: str | sa.URL) -> sa.URL:
    try:
        return sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # Not chained: the cause may quote the URL, and with it the password.
        raise ConfigError(f"DATABASE_URL is not a URL. It looks like {EXAMPLE_URL}.") from None


def _environment() -> type[BaseConfig]:
    name = os.environ.get("APP_ENV", DevelopmentConfig.ENVIRONMENT)
    if name not in ENVIRONMENTS:
        raise ConfigError(f"APP_ENV is {name!r}. It is one of: {', '.join(ENVIRONMENTS)}.")
    return ENVIRONMENTS[name]


def _environment_variables() -> dict[str, str]:
    sources = {"SECRET_KEY": "SECRET_KEY", "SQLALCHEMY_DATABASE_URI": "DATABASE_URL"}
    values = {key: os.environ.get(variable, "") for key, variable in sources.items()}
    return {key: value for key, value in values.items() if value}


def _apply(target: Config, overrides: Mapping[str, Any] | object | None) -> None:
    if isinstance(overrides, Mapping):
        target.from_mapping(overrides)
    elif overrides is not None:
        target.from_object(overrides)
