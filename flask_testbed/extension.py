"""The Flask extension: commands, and the embedded servers of an application."""

from __future__ import annotations

from flask import Flask

from .database_commands import test, test_db
from .development import DevelopmentDatabase, is_development
from .engines import attach
from .factory_commands import factories
from .seed_commands import seed


class Testbed:
    """Test databases, factories and seeds for an application with Flask-SQLAlchemy.

    .. code-block:: python

        testbed = Testbed()
        testbed.init_app(app)

    :param app: initialise this application at once.
    """

    __test__ = False

    def __init__(self, app: Flask | None = None) -> None:
        if app is not None:
            self.init_app(app)

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
        state = attach(app)
        if is_development(state.own_url, app.instance_path):
            state.route.to_own = DevelopmentDatabase(app, state).url
        for command in (test_db, seed, factories, test):
            app.cli.add_command(command)
