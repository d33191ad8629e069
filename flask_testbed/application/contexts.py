"""Application contexts of the testbed's own, which leave the sessions of the application alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask


@contextmanager
def own_context(app: Flask) -> Iterator[None]:
    """Push an application context in which ``db.session`` is another session than outside.

    Flask-SQLAlchemy gives each context a session of its own. With another ``scopefunc``, such as
    one for each thread, the session outside may be in the middle of a statement, and the end of the
    context would remove it. So that session is set aside.
    """
    context = app.app_context()
    context.push()
    registry = app.extensions["sqlalchemy"].session.registry
    outside = registry() if registry.has() else None
    registry.clear()
    try:
        yield
    finally:
        # Flask-SQLAlchemy removes the session of the context.
        context.pop()
        if outside is not None:
            registry.set(outside)
