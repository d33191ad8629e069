"""Sandboxes of toy applications, in the process of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from flask import Flask

from flask_testbed.isolation.mode import Isolation, Mode
from flask_testbed.sandbox.sandbox import Sandbox

MODES: tuple[Mode, ...] = ("commit", "rollback")


@contextmanager
def sandbox(app: Flask, mode: Mode = "commit", worker: str = "") -> Iterator[Sandbox]:
    """A sandbox whose database is created when the application first connects."""
    made = Sandbox.of(app, worker)
    made.begin(Isolation(mode))
    try:
        yield made
    finally:
        with app.app_context():
            db = app.extensions["sqlalchemy"]
            db.session.remove()
            made.reset()
            for engine in db.engines.values():
                engine.dispose()
        made.close()
        assert not made.leaks


#: Names of databases. An application may live until it is collected, and its database is known for
#: as long, so no two applications of this process should have the same.
NAMES = (f"own_{number}" for number in count())
