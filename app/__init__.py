"""The reference application: a fleet of AI agents, and the sessions in which they work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask

from app import api, dashboard, governance, workspace
from app.config import configure
from app.extensions import db, migrate

__all__ = ["create_app"]


def create_app(config: Mapping[str, Any] | object | None = None) -> Flask:
    """Make an application.

    :param config: Settings that come before those of the environment: a mapping, or an object
        whose upper-case attributes are the settings. See `app.config`.
    :raises app.config.ConfigError: A setting is missing or cannot be used.
    """
    app = Flask(__name__, static_folder=None)
    configure(app.config, config)
    db.init_app(app)
    migrate.init_app(app, db)
    api.init_app(app)
    for part in (governance, workspace, dashboard):
        app.register_blueprint(part.blueprint)
    return app
