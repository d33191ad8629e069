"""The application that is current, its Flask-SQLAlchemy, and contexts without it."""

from __future__ import annotations

import contextvars

from flask import Flask, current_app, has_app_context
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Session

from .._compat import FLASK_VARIABLES, unproxied

_is_apart: contextvars.ContextVar[bool] = contextvars.ContextVar(
    "flask_testbed_is_apart", default=False
)


def current_application() -> Flask | None:
    """Return the application of the current context, or None without a context."""
    return unproxied(current_app) if has_app_context() else None


def current_db() -> SQLAlchemy | None:
    """Return the Flask-SQLAlchemy of the current application, or None if there is none."""
    app = current_application()
    return app.extensions.get("sqlalchemy") if app is not None else None


def current_session() -> Session | None:
    """Return the session of the current context, or None if it has not been used yet."""
    db = current_db()
    return db.session() if db is not None and db.session.registry.has() else None


def context_without_flask() -> contextvars.Context:
    """Return a copy of the current context in which no context of Flask is pushed.

    What is run in it sees the variables of the test, such as a feature flag, and changes none.
    """
    copy = contextvars.Context()
    # A variable cannot be unset, so the others are set in an empty context.
    for variable, value in contextvars.copy_context().items():
        if variable not in FLASK_VARIABLES:
            copy.run(variable.set, value)
    copy.run(_is_apart.set, True)
    return copy


def is_apart() -> bool:
    """Return whether a request or command runs here, in a context of its own."""
    return _is_apart.get()
