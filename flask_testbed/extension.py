"""The Flask extension: commands, and the embedded servers of an application."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from flask import Flask

from .application.databases import databases_of
from .application.hooks import Hook, Hooks, set_hooks
from .application.target import is_development
from .cli.common import DeferredGroup
from .cli.test import test
from .cli.test_db import test_db
from .databases.development import DevelopmentDatabase

F = TypeVar("F", bound=Hook)

# factory_boy and Faker take as long to import as a dozen tests.
_DEFERRED = [
    DeferredGroup("seed", "seed", "Fill the application's database with a believable data set."),
    DeferredGroup("factories", "factories", "Look at the application's factories."),
]


class Testbed:
    """Test databases, factories and seeds for an application with Flask-SQLAlchemy.

    .. code-block:: python

        testbed = Testbed()
        testbed.init_app(app)

    :param app: initialise this application at once.
    :param extensions: extensions of PostgreSQL that are installed before the schema is made,
        by name (``"citext"``).
    :param depends_on: further files and folders that migrations or hooks read, as they are seen
        from the application's root path; a change in them makes a new template.
    :raises SettingsError: an extension's name cannot be one.
    """

    __test__ = False

    def __init__(
        self,
        app: Flask | None = None,
        *,
        extensions: Iterable[str] = (),
        depends_on: Iterable[str | Path] = (),
    ) -> None:
        self._hooks = Hooks(extensions=list(extensions), files=list(depends_on))
        self._hooks.check()
        if app is not None:
            self.init_app(app)

    def template_hook(self, function: F) -> F:
        """Have a function add to each test database: functions, triggers, reference rows.

        .. code-block:: python

            @testbed.template_hook
            def countries(session):
                session.add(Country(code="AT"))

        It is called after the schema was made, once for each template, in an application
        context, with the application's session, and what it did is committed. A change in its
        module makes a new template. The application's database on its embedded development
        server gets the same, when it is made.
        """
        self._hooks.functions.append(function)
        return function

    def init_app(self, app: Flask) -> None:
        """Add the commands ``test-db``, ``seed``, ``factories`` and ``test`` to an application.

        Call it after ``db.init_app(app)``. Connects to nothing. If the application's own
        database is on its embedded server (:func:`.development_url`), that server is started,
        and the database made and migrated, when the application first connects.

        These keys of the configuration, or of the environment, are used: ``TEST_DATABASE_URL``;
        ``ENVIRONMENT``, since nothing is destroyed where that is ``"production"``.

        :raises SettingsError: the application has no Flask-SQLAlchemy, or is not for PostgreSQL
            through psycopg 3.
        """
        databases = databases_of(app)
        set_hooks(app, self._hooks)
        for database in databases:
            if is_development(database.own_url, app.instance_path):
                database.redirect(DevelopmentDatabase(database), to_test=False)
        for command in (test_db, *_DEFERRED, test):
            app.cli.add_command(command)
