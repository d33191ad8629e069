"""The application for development, with test databases, factories and seeds.

Both ``flask`` (see ``.flaskenv``) and ``python manage.py`` use it, with the same commands.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask
from flask.cli import FlaskGroup

import app as application
from app.extensions import db
from factories import factories
from factories.scenarios import scenarios
from flask_testbed import Testbed, development_url

ROOT = Path(__file__).resolve().parent

testbed = Testbed()


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Create the application with the testbed's commands.

    If ``DATABASE_URL`` is not set, its database is on an embedded server, except in production.

    :param config: settings that take precedence over those of the environment.
    """
    settings = dict(config or {})
    if not os.environ.get("DATABASE_URL") and os.environ.get("APP_ENV") != "production":
        settings.setdefault("SQLALCHEMY_DATABASE_URI", development_url(ROOT / "instance", "app"))
    created = application.create_app(settings)
    testbed.init_app(created)
    factories.init_app(created, db)
    scenarios.init_app(created)
    return created


cli = FlaskGroup(name="manage.py", create_app=create_app, help="Manage the application.")

if __name__ == "__main__":
    os.chdir(ROOT)
    cli()
