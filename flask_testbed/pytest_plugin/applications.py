"""The applications whose engines lead to test databases.

An application is adopted as soon as Flask-SQLAlchemy is initialised on it, before it can connect:
its engines are redirected, and each of its requests gets a context of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NoReturn
from weakref import WeakSet

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from .._compat import pytest_session, watch_connecting
from ..application.contexts import own_context
from ..application.databases import AppDatabase, database_of, databases_of, renew
from ..application.gate import gate
from ..errors import TestbedError
from ..sandbox.sandbox import Sandbox
from .commands import Commands
from .contexts import current_application
from .options import keeping_of, worker_of
from .requests import isolate_requests
from .sandboxes import Sandboxes

logger = logging.getLogger(__name__)


class Applications:
    """The adopted applications of one process, and their sandboxes."""

    def __init__(self, config: pytest.Config) -> None:
        self.sandboxes = Sandboxes(failed=self._fail)
        self.init_app = SQLAlchemy.init_app
        """Flask-SQLAlchemy's own method, which adopts nothing."""
        self._config = config
        self._adopted: WeakSet[Flask] = WeakSet()
        self._new: list[Flask] = []
        """Those that were adopted since the end of the last test."""
        self._watching = False
        self._commands = Commands()
        self._unwatch_connecting: Callable[[], None] = lambda: None

    def __repr__(self) -> str:
        return f"<Applications {[app.name for app in self._adopted]}>"

    def watch(self) -> None:
        """Adopt each application on which Flask-SQLAlchemy is initialised from now on.

        Isolate the commands that tests invoke.
        """

        def init_and_adopt(db: SQLAlchemy, app: Flask) -> None:
            self.init_app(db, app)
            self.adopt(app)
            self._adopt_new_engines(app)

        SQLAlchemy.init_app = init_and_adopt  # type: ignore[method-assign, assignment]
        self._commands.watch()
        self._unwatch_connecting = watch_connecting(gate.connecting_directly)
        self._watching = True

    def adopt(self, app: Flask) -> None:
        """Redirect an application's engines to test databases, and isolate its requests.

        Nothing happens if that was done before, or if none of its databases is PostgreSQL's. The
        run ends if an engine cannot be redirected.
        """
        if app in self._adopted or not _uses_postgresql(app):
            return
        self._redirect(app)
        isolate_requests(app)
        self._adopted.add(app)
        logger.debug("adopted %r", app)

    def _adopt_new_engines(self, app: Flask) -> None:
        """Redirect the engines of an application that was initialised again."""
        if app not in self._adopted:
            return
        try:
            has_others = renew(app)
        except TestbedError as error:
            self._fail(error)
        if has_others:
            self._redirect(app)
            logger.debug("adopted %r again", app)

    def _redirect(self, app: Flask) -> None:
        if current_application() is app:
            # The session may hold a connection to the application's own database.
            app.extensions["sqlalchemy"].session.remove()
        try:
            pairs = [(database, self._sandbox_of(database)) for database in databases_of(app)]
        except TestbedError as error:
            self._fail(error)
        for database, sandbox in pairs:
            sandbox.redirect(database)
        self._new.append(app)

    def _sandbox_of(self, database: AppDatabase) -> Sandbox:
        return self.sandboxes.of(database, worker_of(self._config), keeping_of(self._config))

    def adopt_current(self) -> None:
        """Adopt the application of the current context, such as the one of ``manage.py test``."""
        app = current_application()
        if app is not None:
            self.adopt(app)

    def close_session(self) -> None:
        """Close the session of the current context, which may outlive the test."""
        app = current_application()
        if app is not None and app in self._adopted:
            database_of(app).db.session.remove()

    def release(self) -> None:
        """Close the pools of the applications that the test has created, which may end with it."""
        while self._new:
            for database in databases_of(self._new.pop()):
                database.dispose()

    def close(self, close_sandbox: Callable[[Sandbox], None]) -> None:
        """Adopt nothing from now on, and close each sandbox by a function."""
        try:
            self.sandboxes.close(close_sandbox)
        finally:
            if self._watching:
                SQLAlchemy.init_app = self.init_app  # type: ignore[method-assign]
                self._commands.close()
                self._unwatch_connecting()
                self._watching = False

    def _fail(self, error: TestbedError) -> NoReturn:
        """End the run with one sentence: without a test database no other test can pass.

        `pytest.exit` is not used during a session: the application may catch its exception, and a
        worker of pytest-xdist would die of it.
        """
        session: pytest.Session | None = pytest_session(self._config)
        if session is None:
            pytest.exit(str(error), returncode=1)
        session.shouldfail = str(error)
        raise pytest.fail.Exception(str(error), pytrace=False) from None


def _uses_postgresql(app: Flask) -> bool:
    """Whether any of an application's engines is for PostgreSQL."""
    if "sqlalchemy" not in app.extensions:
        return False
    with own_context(app):
        engines = app.extensions["sqlalchemy"].engines.values()
        return any(engine.dialect.name == "postgresql" for engine in engines)
