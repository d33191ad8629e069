"""The application that is current, and its Flask-SQLAlchemy."""

from __future__ import annotations

from flask import Flask, current_app, has_app_context
from flask_sqlalchemy import SQLAlchemy

from .._compat import unproxied


def current_application() -> Flask | None:
    """Return the application of the current context, or None without a context."""
    return unproxied(current_app) if has_app_context() else None


def current_db() -> SQLAlchemy | None:
    """Return the Flask-SQLAlchemy of the current application, or None if there is none."""
    app = current_application()
    return app.extensions.get("sqlalchemy") if app is not None else None
