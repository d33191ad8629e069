"""Where the test database is, and which settings cannot say it."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.engine import URL, make_url

from flask_testbed.application.target import (
    LONGEST_NAME,
    Target,
    check_name,
    find_production,
    find_target,
    parse_url,
    slug,
)
from flask_testbed.errors import SettingsError
from flask_testbed.postgres.connecting import connect_parameters
from tests.support.processes import assert_no_password
from tests.support.projects import Project
from tests.support.servers import Stock
from tests.support.toys import Toys

OWN = "postgresql+psycopg://ada:geheim@db.example.org:5433/shop"


def find(own: str | None = OWN, *, name: str = "toy", environ: Any = (), **config: Any) -> Target:
    """The target of an application with these settings."""
    app = Flask(name, instance_path="/srv/shop/instance")
    app.config.update(config)
    return find_target(app, own, dict(environ))


def test_the_environment_decides_first() -> None:
    target = find(
        environ={"TEST_DATABASE_URL": "postgresql://there/first_test"},
        TEST_DATABASE_URL="postgresql://there/second_test",
    )

    assert (target.name, target.source) == ("first_test", "TEST_DATABASE_URL")
    assert not target.embedded


def test_the_configuration_decides_next() -> None:
    target = find(environ={"TEST_DATABASE_URL": ""}, TEST_DATABASE_URL="postgres://x/second_test")

    assert (target.name, target.source) == ("second_test", "TEST_DATABASE_URL")


def test_else_the_applications_own_server_decides() -> None:
    target = find()

    assert target.url == make_url(OWN).set(database="shop_test")
    assert target.own == (make_url(OWN),)
    assert target.source == "the server of SQLALCHEMY_DATABASE_URI"


@pytest.mark.parametrize("own", [None, "sqlite:///shop.db", "mysql://h/shop"])
def test_else_it_is_on_the_embedded_server(own: str | None) -> None:
    target = find(own, name="My Shop!")

    assert target.embedded
    assert target.name == "my_shop_test"
    assert target.own == ()
    assert target.instance == Path("/srv/shop/instance")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("toy", "toy"), ("My.Shop-2", "my_shop_2"), ("日本", "app"), ("x" * 99, "x" * 40)],
)
def test_an_applications_name_becomes_a_databases(name: str, expected: str) -> None:
    assert slug(name) == expected
    assert check_name(slug(name) + "_test", "")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_three_schemes_mean_psycopg_3(scheme: str) -> None:
    assert parse_url(f"{scheme}://h/x_test", "S").drivername == "postgresql+psycopg"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mysql://ada:geheim@h/x_test", "'mysql'"),
        ("mysql+pymysql://ada:geheim@h/x_test", "'mysql+pymysql'"),
        ("sqlite:///x_test", "'sqlite'"),
        ("postgresql+psycopg2://ada:geheim@h/x_test", "'postgresql+psycopg2'"),
        ("postgresql+asyncpg://ada:geheim@h/x_test", "'postgresql+asyncpg'"),
        ("postgresql://ada:geheim@h", "names no database"),
        ("postgresql://ada:geheim@h/", "names no database"),
        ("postgresql://ada:geheim@h:port/x_test", "is not a database URL"),
        ("ada:geheim@h/x_test", "is not a database URL"),
        ("//ada:geheim@h", "is not a database URL"),
        ("postgresql://ada:p@geheim@h/x_test", "write %40"),
        ("postgresql://ada:p@s/geheim@h:5432/x_test", "write %40"),
    ],
)
def test_another_url_is_refused_without_its_password(text: str, says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_url(text, "TEST_DATABASE_URL")

    assert str(refused.value).startswith("TEST_DATABASE_URL ")
    assert says in str(refused.value)
    assert "postgresql://" in str(refused.value) or "name_test" in str(refused.value)
    assert "geheim" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_an_own_url_whose_password_is_not_quoted_is_one_sentence(toys: Toys) -> None:
    app = toys.app("postgresql://ada:p@geheim@h/own")

    outcome = toys.run(app, "test-db", "create")

    outcome.assert_says("SQLALCHEMY_DATABASE_URI is not a database URL", "write %40")
    assert "geheim" not in outcome.text


@pytest.mark.parametrize("text", [5, {}, object(), b"postgresql://h/x_test"])
def test_what_is_no_text_is_refused(text: Any) -> None:
    with pytest.raises(SettingsError, match="is not a database URL"):
        parse_url(text, "TEST_DATABASE_URL")


def test_the_rest_of_a_query_reaches_libpq() -> None:
    url = parse_url("postgresql://h/x_test?sslmode=require&options=-csearch_path%3Dx", "S")

    parameters = connect_parameters(url)

    assert parameters["sslmode"] == "require"
    assert parameters["options"] == "-csearch_path=x"


def test_a_socket_may_stand_in_the_query() -> None:
    url = parse_url("postgresql:///x_test?host=/var/run/postgresql", "S")

    assert connect_parameters(url)["host"] == "/var/run/postgresql"


@pytest.mark.parametrize(
    "name",
    [
        'x"_test',
        "x'_test",
        "x test",
        "x;_test",
        "über_test",
        "x\n_test",
        "x_test\n",
        "-x_test",
        "x%_test",
        "",
    ],
)
def test_a_name_that_needs_quoting_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="need quoting") as refused:
        check_name(name, "TEST_DATABASE_URL")

    assert repr(name) in str(refused.value)


def test_a_name_of_70_characters_is_refused() -> None:
    with pytest.raises(SettingsError) as refused:
        find(environ={"TEST_DATABASE_URL": f"postgresql://h/{'x' * 65}_test"})

    assert "is 70 bytes long" in str(refused.value)
    assert f"use {LONGEST_NAME} at most" in str(refused.value)


def test_the_longest_name_leaves_room_for_a_worker() -> None:
    name = "x" * (LONGEST_NAME - 5) + "_test"

    assert check_name(name, "S") == name
    assert len(f"{name}_99_gw999") == 63
    with pytest.raises(SettingsError):
        check_name("x" + name, "S")


def test_an_own_name_that_is_too_long_says_where_it_is_from() -> None:
    with pytest.raises(SettingsError, match="the server of SQLALCHEMY_DATABASE_URI"):
        find(f"postgresql://h/{'x' * 60}")


class Stage(enum.Enum):
    LIVE = "live"
    DEV = "Dev"


# In doubt it is production.
LIVE = ["production", "PROD", "production ", "prod-eu", "live", "prd", "staging", "qa", "dev2", "0"]


@pytest.mark.parametrize("value", LIVE)
@pytest.mark.parametrize("key", ["APP_ENV", "FLASK_ENV", "ENVIRONMENT"])
def test_production_may_be_said_in_the_environment(key: str, value: str) -> None:
    assert find(environ={key: value}).production == f"{key}={value!r}"


@pytest.mark.parametrize("value", [*LIVE, Stage.LIVE, b"dev", False, ["dev"]])
@pytest.mark.parametrize("key", ["APP_ENV", "FLASK_ENV", "ENVIRONMENT", "ENV"])
def test_production_may_be_said_in_the_configuration(key: str, value: Any) -> None:
    assert find(**{key: value}).production.startswith(f"{key}=")


@pytest.mark.parametrize("value", ["development", " Testing ", "DEV", "local", "ci", "", "  "])
def test_other_environments_are_not_production(value: str) -> None:
    app = Flask("toy")
    app.config.update(ENVIRONMENT=None, ENV=Stage.DEV)

    assert find_production(app, dict.fromkeys(["APP_ENV", "FLASK_ENV", "ENVIRONMENT"], value)) == ""


def test_finding_out_connects_to_nothing_and_changes_nothing(tmp_path: Path) -> None:
    app = Flask("toy", instance_path=str(tmp_path / "instance"))
    before = dict(app.config)

    assert isinstance(find_target(app, None, {}).url, URL)

    assert dict(app.config) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "query",
    [
        "dbname=production",
        "dbname=production&sslmode=disable",
        "host=elsewhere",
        "port=6000",
        "user=somebody",
        "service=production",
        "hostaddr=10.0.0.1",
    ],
)
def test_a_query_does_not_lead_elsewhere_than_the_url_says(query: str) -> None:
    """libpq takes these from the query of a URL, whatever stands before it."""
    try:
        url = parse_url(f"postgresql://ada@here:5432/x_test?{query}", "TEST_DATABASE_URL")
    except SettingsError:
        return
    leads_to = connect_parameters(url)
    assert leads_to["dbname"] == url.database
    assert leads_to["host"] == url.host
    assert int(leads_to["port"]) == url.port
    assert leads_to["user"] == url.username
    assert not leads_to.keys() & {"service", "hostaddr"}


@pytest.mark.parametrize("query", ["password=geheim", "sslpassword=geheim"])
def test_no_password_of_a_query_is_printed(
    toys: Toys, environment: pytest.MonkeyPatch, query: str
) -> None:
    environment.setenv("TEST_DATABASE_URL", f"postgresql://ada@h/x_test?{query}")

    assert_no_password(toys.run(toys.app("postgresql://h/own"), "test-db", "url"), "geheim")


@pytest.mark.parametrize("query", ["nonsense=1", "connect_timeout=soon", "sslmode=nonsense"])
def test_a_query_that_libpq_does_not_know_is_one_sentence(
    stock: Stock, toys: Toys, environment: pytest.MonkeyPatch, query: str
) -> None:
    environment.setenv("TEST_DATABASE_URL", stock.url("x_test") + f"?{query}")

    outcome = toys.run(toys.app("postgresql://h/own"), "test-db", "create")

    outcome.assert_says("TEST_DATABASE_URL")
    assert_no_password(outcome, stock.password)


@pytest.mark.parametrize("host", ["a..b", "x" * 70, "h%00"])
def test_a_host_that_cannot_be_is_one_sentence(
    toys: Toys, environment: pytest.MonkeyPatch, host: str
) -> None:
    environment.setenv("TEST_DATABASE_URL", f"postgresql://ada:geheim@{host}/x_test")

    outcome = toys.run(toys.app(f"postgresql://{host[:-1]}z/x_test"), "test-db", "create")

    outcome.assert_says("TEST_DATABASE_URL")


def test_an_application_on_sqlite_is_one_sentence(project: Project) -> None:
    outcome = project.run(
        "-m", "flask", "--app", "toyapp", "test-db", "create", DATABASE_URL="sqlite:///toy.db"
    )

    outcome.assert_says("sqlite")
