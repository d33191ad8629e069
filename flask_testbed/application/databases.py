"""The databases of an application, and the routes of its engines to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flask import Flask
from sqlalchemy.engine import URL, make_url

from ..errors import SettingsError
from ..postgres.addresses import is_same_database
from .routes import EXTENSION, Route

if TYPE_CHECKING:
    from flask_sqlalchemy import SQLAlchemy


@dataclass
class State:
    """What the testbed knows of one database of an application."""

    db: SQLAlchemy
    own_url: URL
    """The application's own database, as it was configured."""

    routes: dict[str | None, Route] = field(default_factory=dict)
    """By bind key: all that lead there."""

    bind: str | None = None
    """Which of the application's databases it is about; ``None`` is the default one."""

    @property
    def route(self) -> Route:
        """The way of the engine for that database."""
        return self.routes[self.bind]

    def dispose(self) -> None:
        """Close what is in the pools of the engines that lead there."""
        for route in self.routes.values():
            route.engine.dispose()

    def configured(self, app: Flask) -> URL:
        """Where the configuration says that the database is."""
        if self.bind is None:
            return make_url(app.config["SQLALCHEMY_DATABASE_URI"])
        given = app.config["SQLALCHEMY_BINDS"][self.bind]
        return make_url(given["url"] if isinstance(given, dict) else given)

    def configure(self, app: Flask, url: URL) -> None:
        """Have the configuration say that the database is elsewhere."""
        text = url.render_as_string(hide_password=False)
        if self.bind is None:
            app.config["SQLALCHEMY_DATABASE_URI"] = text
            return
        given = app.config["SQLALCHEMY_BINDS"][self.bind]
        said = {**given, "url": text} if isinstance(given, dict) else text
        app.config["SQLALCHEMY_BINDS"] = {**app.config["SQLALCHEMY_BINDS"], self.bind: said}


def attach(app: Flask) -> State:
    """Put routes under an application's engines, once. They lead nowhere else yet.

    :param app: an application on which Flask-SQLAlchemy is initialised.
    :returns: what there is to know of its default database.
    :raises SettingsError: it is not, or an engine cannot be redirected.
    """
    return attach_all(app)[0]


def attach_all(app: Flask) -> list[State]:
    """As :func:`attach`, of all its databases: binds that lead to one are together."""
    if EXTENSION in app.extensions:
        states: list[State] = app.extensions[EXTENSION]
        return states
    db = app.extensions.get("sqlalchemy")
    if db is None:
        raise SettingsError(
            f"The application {app.name!r} has no Flask-SQLAlchemy. Call db.init_app(app)"
            " before testbed.init_app(app)."
        )
    with app.app_context():
        engines = dict(db.engines)
    if None not in engines:
        raise SettingsError("SQLALCHEMY_DATABASE_URI is not set, and the testbed needs it.")
    states = []
    for key in sorted(engines, key=lambda key: key or ""):
        if key is None or engines[key].dialect.name == "postgresql":
            _add(states, db, key, Route(engines[key]))
    app.extensions[EXTENSION] = states
    return states


def _add(states: list[State], db: SQLAlchemy, key: str | None, route: Route) -> None:
    same = (state for state in states if is_same_database(route.own, state.own_url))
    state = next(same, None)
    if state is None:
        state = State(db, route.own, bind=key)
        states.append(state)
    state.routes[key] = route
