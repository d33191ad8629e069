"""The Flask extension, which adds commands to an application and defines its templates."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from flask import Flask

from .application.databases import databases_of, renew
from .application.hooks import Hook, Hooks, set_hooks
from .application.target import is_development
from .cli.common import DeferredGroup
from .cli.test import test
from .cli.test_db import test_db
from .databases.development import DevelopmentDatabase

F = TypeVar("F", bound=Hook)

# These import factory_boy and Faker, which takes as long as a dozen tests.
_DEFERRED = [
    DeferredGroup("seed", "seed", "Fill the application's database with a believable data set."),
    DeferredGroup("factories", "factories", "Look at the application's factories."),
]


class Testbed:
    """Test databases, factories and seeds for an application with Flask-SQLAlchemy.

    .. code-block:: python

        testbed = Testbed()
        testbed.init_app(app)

    :param app: the application to initialise; without it, call :meth:`init_app`.
    :param extensions: names of PostgreSQL extensions, such as ``"citext"``, that are created in
        each test database before the schema.
    :param depends_on: files and folders that migrations or hooks read, relative to the
        application's root path. When they change, the template is built again.
    :raises SettingsError: one of ``extensions`` is not a valid name.
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
        """Register a function that adds to each test database: functions, triggers or rows.

        .. code-block:: python

            @testbed.template_hook
            def countries(session):
                session.add(Country(code="AT"))

        The function is called once for each template, after the schema was created. It gets the
        application's session, in an application context, and its transaction is committed. When
        its module changes, the template is built again. It is also called when the application's
        own database is created on the embedded development server.
        """
        self._hooks.functions.append(function)
        return function

    def init_app(self, app: Flask) -> None:
        """Add the commands ``test-db``, ``seed``, ``factories`` and ``test`` to an application.

        Call it after ``db.init_app(app)``. It does not connect to a database. If the
        application's own database is on an embedded server (:func:`.development_url`), the first
        connection starts that server, and creates and migrates the database.

        These keys of the application's configuration, or variables of the environment, are used:

        - ``TEST_DATABASE_URL``, the URL of the test database;
        - ``ENVIRONMENT``. If it is ``"production"``, no database is dropped or emptied.

        :raises SettingsError: the application has no Flask-SQLAlchemy, or an engine of it is not
            for PostgreSQL through psycopg 3.
        """
        renew(app)
        databases = databases_of(app)
        set_hooks(app, self._hooks)
        for database in databases:
            if is_development(database.own_url, app.instance_path):
                database.redirect(DevelopmentDatabase(database), to_test=False)
        for command in (test_db, *_DEFERRED, test):
            app.cli.add_command(command)
