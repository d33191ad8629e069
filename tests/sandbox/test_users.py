"""Engines for one database as several users: each connects as its own."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ProgrammingError

from flask_testbed import IsolationError, SettingsError, Testbed
from flask_testbed.isolation.mode import Isolation, Mode
from tests.support.sandboxes import MODES, NAMES, sandbox
from tests.support.servers import Stock
from tests.support.toys import Toys


class Own:
    """The application's own database, as several users."""

    def __init__(self, stock: Stock, toys: Toys) -> None:
        self._stock, self._toys = stock, toys
        self._name = next(NAMES)

    def url(self, role: str, **parts: Any) -> str:
        return self._stock.url(self._name, role, drivername="postgresql+psycopg", **parts)

    def app(self, reader: str = "weak", **parts: Any) -> Flask:
        """An application with a bind of another user."""
        binds = {"reader": {"url": self.url(reader, **parts)}}
        return self._toys.app(self.url("maker"), SQLALCHEMY_BINDS=binds)


@pytest.fixture
def own(stock: Stock, toys: Toys) -> Own:
    return Own(stock, toys)


def user(engine: sa.Engine) -> Any:
    with engine.connect() as connection:
        return connection.scalar(sa.text("SELECT current_user"))


@pytest.mark.parametrize("mode", MODES)
def test_a_bind_connects_as_its_user(own: Own, mode: Mode) -> None:
    app = own.app()
    with sandbox(app, mode) as made, app.app_context():
        assert user(app.extensions["sqlalchemy"].engines["reader"]) == "weak"
        made.reset()
        engines = app.extensions["sqlalchemy"].engines
        assert user(engines[None]) == "maker"
        made.reset()

        with engines["reader"].connect() as reader, pytest.raises(ProgrammingError, match="denied"):
            reader.execute(sa.text("INSERT INTO book (title) VALUES ('x')"))
        made.reset()
        assert user(engines["reader"]) == "weak"

        shown = app.config["SQLALCHEMY_BINDS"]["reader"]["url"]
        assert make_url(shown) == engines["reader"].url
        assert shown == own.url("weak") + "_test"


def test_in_rollback_mode_one_test_has_one_user(own: Own) -> None:
    app = own.app()
    with sandbox(app, "rollback") as made, app.app_context():
        engines = app.extensions["sqlalchemy"].engines
        assert user(engines[None]) == "maker"
        with pytest.raises(IsolationError, match="as two users, 'maker' and 'weak'"):
            user(engines["reader"])
        made.begin(Isolation("commit"))
        assert user(engines["reader"]) == "weak"


def test_an_unmanaged_engine_connects_as_its_user(own: Own) -> None:
    app = own.app()
    with sandbox(app):
        for role in ("maker", "weak", "boss"):
            engine = sa.create_engine(own.url(role))
            assert user(engine) == role
            engine.dispose()


def test_a_bind_without_a_user_of_its_own_has_that_of_the_test_database(
    own: Own, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", own.url("boss") + "_test")
    app = own.app("maker")
    with sandbox(app), app.app_context():
        assert user(app.extensions["sqlalchemy"].engines[None]) == "boss"
        assert user(app.extensions["sqlalchemy"].engines["reader"]) == "boss"


@pytest.mark.parametrize(
    ("role", "parts", "says"),
    [
        ("nobody", {}, "password authentication failed"),
        ("weak", {"password": "wrong"}, "password authentication failed"),
    ],
)
def test_a_user_who_cannot_connect_is_one_sentence(
    own: Own, stock: Stock, role: str, parts: dict[str, Any], says: str
) -> None:
    app = own.app(role, **parts)
    with sandbox(app), app.app_context():
        reader = app.extensions["sqlalchemy"].engines["reader"]
        with pytest.raises(SettingsError, match=f"as the user {role!r}.*{says}") as caught:
            reader.connect()
    assert stock.password not in str(caught.value)


def test_a_hook_may_create_the_user(own: Own) -> None:
    app = own.app()

    @Testbed(app).template_hook
    def grant(session: Any) -> None:
        session.execute(sa.text("GRANT SELECT ON book TO weak"))

    with sandbox(app), app.app_context():
        reader = app.extensions["sqlalchemy"].engines["reader"]
        with reader.connect() as connection:
            assert connection.scalar(sa.text("SELECT count(*) FROM book")) == 0
