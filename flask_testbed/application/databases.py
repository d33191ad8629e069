"""The databases of an application, and the routes of its engines to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import ref

from flask import Flask
from sqlalchemy.engine import URL, Engine, make_url

from .._compat import engine_options
from ..errors import SettingsError
from ..postgres.addresses import is_same_database
from .contexts import own_context
from .gate import gate
from .routes import PLACE, Destination, Route

if TYPE_CHECKING:
    from flask_sqlalchemy import SQLAlchemy

#: Key of an application's databases in ``app.extensions``.
EXTENSION = "flask_testbed"


class AppDatabase:
    """One database of an application, and the routes of the engines that lead to it.

    :param app: the application, which is referred to weakly.
    :param db: its Flask-SQLAlchemy extension.
    :param own_url: the URL of the database, as it was configured.
    :param bind: key of the database in ``SQLALCHEMY_BINDS``; None for the default database.
    """

    def __init__(self, app: Flask, db: SQLAlchemy, own_url: URL, bind: str | None = None) -> None:
        self._app = ref(app)
        self.db = db
        self.own_urls = [own_url]
        """URLs of the database as it was configured, the present one first."""
        self.bind = bind
        self.routes: dict[str | None, Route] = {}
        """The routes that lead to this database, by bind key."""
        self.shown: set[URL] = set()
        """Every URL that the application was told of."""
        self._former: list[Route] = []
        """The routes of engines that were replaced, which lead where the present ones lead."""

    def __repr__(self) -> str:
        app = self._app()
        name = app.name if app is not None else "forgotten"
        return f"<AppDatabase {self.own_url.database!r} of {name}, bind {self.bind!r}>"

    @property
    def app(self) -> Flask:
        """The application.

        :raises ReferenceError: the application has been garbage-collected.
        """
        app = self._app()
        if app is None:
            raise ReferenceError("the application has been garbage-collected")
        return app

    @property
    def is_alive(self) -> bool:
        """Whether the application still exists."""
        return self._app() is not None

    @property
    def own_url(self) -> URL:
        """The URL of the database, as it is configured."""
        return self.own_urls[0]

    @property
    def route(self) -> Route:
        """The route of the engine of :attr:`bind`."""
        return self.routes[self.bind]

    def redirect(self, destination: Destination, *, to_test: bool) -> None:
        """Redirect all engines of this database. Parameters as of :meth:`.Route.redirect`.

        A database that is redirected to a test database stays so: nothing leads back to another.
        """
        if self.route.is_test and not to_test:
            return
        for route in self._all_routes:
            route.redirect(destination, to_test=to_test)
            # What is in the pool leads to the application's own database.
            route.engine.dispose()

    def show(self, url: URL) -> None:
        """Make the engines and the configuration say that the database is at a URL.

        Whatever is made of it later leads to the database, wherever that is then.
        """
        for route in self._all_routes:
            route.show(url)
        for key, route in self.routes.items():
            self._configure(key, route.engine.url)
        self.shown.add(url)

    def dispose(self) -> None:
        """Close the pooled connections of the engines that lead here."""
        for route in self._all_routes:
            route.engine.dispose()

    @property
    def _all_routes(self) -> list[Route]:
        return [*self.routes.values(), *self._former]

    def shows(self, url: URL) -> bool:
        """Return whether a URL is one that :meth:`show` has shown."""
        return any(is_same_database(url, one) for one in self.shown)

    def replace_engines(self, db: SQLAlchemy, own_url: URL) -> None:
        """Forget the routes, to which others are added for the engines of today.

        :param own_url: the URL of the database, as it is configured now.
        """
        self.db = db
        self._former += self.routes.values()
        self.routes = {}
        self.own_urls = [own_url, *(one for one in self.own_urls if one != own_url)]

    @property
    def protected_urls(self) -> list[URL]:
        """Its own URLs, and where ``connect_args`` in the options of its engine lead."""
        args = self._engine_options().get("connect_args") or {}
        place = {key: str(args[key]) for key in (*PLACE, "service") if args.get(key)}
        return [*self.own_urls, *([self.own_url.update_query_dict(place)] if place else [])]

    def _engine_options(self) -> Mapping[str, Any]:
        """Return the options of its engine, as Flask-SQLAlchemy combines them."""
        config = self.app.config
        given = config.get("SQLALCHEMY_ENGINE_OPTIONS") or {}
        if self.bind is not None:
            given = config["SQLALCHEMY_BINDS"][self.bind]
        return engine_options(self.db) | (given if isinstance(given, dict) else {})

    @property
    def configured(self) -> URL:
        """The URL of the database, as the application's configuration has it now."""
        app = self.app
        if self.bind is None:
            return make_url(app.config["SQLALCHEMY_DATABASE_URI"])
        given = app.config["SQLALCHEMY_BINDS"][self.bind]
        return make_url(given["url"] if isinstance(given, dict) else given)

    def configure(self, url: URL) -> None:
        """Set the URL of the database in the application's configuration."""
        self._configure(self.bind, url)

    def _configure(self, key: str | None, url: URL) -> None:
        app = self.app
        text = url.render_as_string(hide_password=False)
        if key is None:
            app.config["SQLALCHEMY_DATABASE_URI"] = text
            return
        given = app.config["SQLALCHEMY_BINDS"][key]
        said = {**given, "url": text} if isinstance(given, dict) else text
        app.config["SQLALCHEMY_BINDS"] = {**app.config["SQLALCHEMY_BINDS"], key: said}


def database_of(app: Flask) -> AppDatabase:
    """The default database of an application.

    :param app: an application on which Flask-SQLAlchemy is initialised.
    :raises SettingsError: it is not, or one of its engines cannot be redirected.
    """
    return databases_of(app)[0]


def databases_of(app: Flask) -> list[AppDatabase]:
    """All databases of an application: the default one first, binds with one URL together.

    The first call creates a route for each engine, which leads to the application's own database
    until it is redirected. Raises as :func:`database_of`.
    """
    if EXTENSION not in app.extensions:
        app.extensions[EXTENSION] = _find(app, [])
    known: list[AppDatabase] = app.extensions[EXTENSION]
    return known


def renew(app: Flask) -> bool:
    """Create routes for the engines of an application that has got others since the last call.

    That is the case after ``db.init_app(app)`` was called again. Raises as :func:`database_of`.

    :returns: whether it has got others.
    """
    known = databases_of(app)
    routed = {route.engine for database in known for route in database.routes.values()}
    if routed.issuperset(_engines(app).values()):
        return False
    app.extensions[EXTENSION] = _find(app, known)
    return True


def _find(app: Flask, known: list[AppDatabase]) -> list[AppDatabase]:
    """Return the databases of an application, with a route for each engine.

    :param known: those that are known, whose engines may be others now.
    """
    engines = _engines(app)
    if None not in engines:
        raise SettingsError("SQLALCHEMY_DATABASE_URI is not set, and the testbed needs it.")
    db: SQLAlchemy = app.extensions["sqlalchemy"]
    databases: list[AppDatabase] = []
    for key in sorted(engines, key=lambda key: key or ""):
        url = engines[key].url
        # What the testbed itself has configured is not the application's own.
        own = next((one.own_url for one in known if one.shows(url)), url)
        database = next((one for one in databases if is_same_database(own, one.own_url)), None)
        route = Route(engines[key], database.route.own if database is not None else None)
        if database is None:
            database = next((one for one in known if one.bind == key), None)
            if database is None:
                database = AppDatabase(app, db, own, key)
            else:
                database.replace_engines(db, own)
            databases.append(database)
            gate.add_database(database)
        database.routes[key] = route
        gate.add_route(route)
    return databases


def _engines(app: Flask) -> dict[str | None, Engine]:
    """Return the default engine of an application, and those of binds that are PostgreSQL's."""
    db = app.extensions.get("sqlalchemy")
    if db is None:
        raise SettingsError(
            f"The application {app.name!r} has no Flask-SQLAlchemy. Call db.init_app(app)"
            " before testbed.init_app(app)."
        )
    with own_context(app):
        return {
            key: engine
            for key, engine in db.engines.items()
            if key is None or engine.dialect.name == "postgresql"
        }
