"""The conftest that people write: the schema is made before each test, and dropped after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from benchmarks.peers.models import db


@pytest.fixture(autouse=True)
def isolated(app: Flask) -> Iterator[None]:
    """Make all tables, and drop them."""
    with app.app_context():
        db.create_all()
    yield
    with app.app_context():
        db.session.remove()
        db.drop_all()
