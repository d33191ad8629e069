"""The development face of the application: with test databases, factories and seeds.

``flask`` uses it (see ``.flaskenv``), and so does ``python manage.py``: the same commands.
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
    """Make the application, with the commands of the testbed.

    Without ``DATABASE_URL`` it gets an embedded server of its own, except in production.

    :param config: settings that come before those of the environment.
    """
    settings = dict(config or {})
    if not os.environ.get("DATABASE_URL") and os.environ.get("APP_ENV") != "production":
        settings.setdefault("SQLALCHEMY_DATABASE_URI", development_url(ROOT / "instance", "app"))
    made = application.create_app(settings)
    testbed.init_app(made)
    factories.init_app(made, db)
    scenarios.init_app(made)
    return made


cli = FlaskGroup(name="manage.py", create_app=create_app, help="Manage the application.")

if __name__ == "__main__":
    os.chdir(ROOT)
    cli()
