"""Where the application's settings come from, and which it refuses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import click
import pytest
import sqlalchemy as sa
from flask import Config

from app.config import ConfigError, configure, database_url

URL = "postgresql://ada:hush@db.example.com:5433/mail"
FULL = "postgresql+psycopg://ada:hush@db.example.com:5433/mail"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which nothing is set."""
    for name in ("APP_ENV", "DATABASE_URL", "SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def settings(config: Any = None) -> Config:
    """The settings of an application, which has a database if nothing is given."""
    found = Config(".")
    configure(found, {"SQLALCHEMY_DATABASE_URI": URL} if config is None else config)
    return found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, ("development", None)),
        ("development", ("development", None)),
        ("testing", ("testing", True)),
        ("production", ("production", None)),
    ],
)
def test_app_env_chooses_the_settings(
    environment: pytest.MonkeyPatch, name: str | None, expected: tuple[str, bool | None]
) -> None:
    if name:
        environment.setenv("APP_ENV", name)
    environment.setenv("SECRET_KEY", "a long random string")
    found = settings()
    assert (found["ENVIRONMENT"], found.get("TESTING")) == expected


def test_an_unknown_app_env_is_refused_with_the_known_ones(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("APP_ENV", "prod")
    with pytest.raises(ConfigError, match=r"'prod'.*development, testing, production"):
        settings()


def test_production_needs_a_secret_key(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("APP_ENV", "production")
    with pytest.raises(ConfigError, match="SECRET_KEY"):
        settings()
    environment.setenv("SECRET_KEY", "")
    with pytest.raises(ConfigError, match="SECRET_KEY"):
        settings()
    environment.setenv("SECRET_KEY", "a long random string")
    found = settings()
    assert found["SECRET_KEY"] == "a long random string"
    assert found["SESSION_COOKIE_SECURE"] is True
    assert found["SQLALCHEMY_ENGINE_OPTIONS"] == {"pool_pre_ping": True}


@pytest.mark.parametrize(
    "url",
    [
        URL,
        URL.replace("postgresql", "postgres"),
        URL.replace("postgresql", "postgresql+psycopg"),
        sa.make_url(URL),
    ],
    ids=str,
)
def test_every_accepted_url_means_psycopg_3(url: str | sa.URL) -> None:
    assert database_url(url) == FULL


def test_a_password_keeps_its_characters() -> None:
    url = sa.URL.create("postgresql", "ada", "p@ss/w%rd:?#", "localhost", None, "mail")
    assert sa.make_url(database_url(url)).password == "p@ss/w%rd:?#"


@pytest.mark.parametrize(
    "url",
    [
        "mysql://ada:hush@localhost/mail",
        "sqlite:///mail.db?password=hush",
        "postgresql+psycopg2://ada:hush@localhost/mail",
        "postgresql+asyncpg://ada:hush@localhost/mail",
    ],
)
def test_another_driver_is_refused_by_name_and_without_the_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        database_url(url)
    message = str(caught.value)
    assert repr(url.split(":", maxsplit=1)[0]) in message
    assert "psycopg 3" in message
    assert "hush" not in message


@pytest.mark.parametrize("url", ["hush", "postgresql://ada:hush@localhost:port/mail", "://hush"])
def test_what_is_no_url_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL is not a URL") as caught:
        database_url(url)
    assert "hush" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("config", [{}, {"SQLALCHEMY_DATABASE_URI": None}])
def test_without_a_database_the_message_says_what_to_set(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"DATABASE_URL is not set.*SQLALCHEMY_DATABASE_URI"):
        settings(config)


def test_a_command_prints_a_fault_of_the_settings_without_a_traceback() -> None:
    assert issubclass(ConfigError, click.ClickException)


def test_the_environment_says_where_the_database_is(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_URL", URL)
    found = Config(".")
    configure(found)
    assert found["SQLALCHEMY_DATABASE_URI"] == FULL


@pytest.mark.parametrize("kind", [dict, SimpleNamespace], ids=["mapping", "object"])
def test_a_given_setting_comes_before_the_environment(
    environment: pytest.MonkeyPatch, kind: Any
) -> None:
    environment.setenv("DATABASE_URL", "postgresql://elsewhere/other")
    environment.setenv("SECRET_KEY", "from the environment")
    found = settings(kind(SQLALCHEMY_DATABASE_URI=URL, SECRET_KEY="given", TESTING=True))
    assert found["SQLALCHEMY_DATABASE_URI"] == FULL
    assert (found["SECRET_KEY"], found["TESTING"]) == ("given", True)
    assert found["ENVIRONMENT"] == "development"


def test_two_applications_do_not_share_settings(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("APP_ENV", "production")
    environment.setenv("SECRET_KEY", "a long random string")
    first, second = (settings() for _ in range(2))
    first["SQLALCHEMY_ENGINE_OPTIONS"]["echo"] = True
    assert "echo" not in second["SQLALCHEMY_ENGINE_OPTIONS"]
