"""The conftest that people write: one schema, and each table is emptied after each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from benchmarks.peers.models import db


@pytest.fixture(autouse=True)
def isolated(app: Flask) -> Iterator[None]:
    """Delete all rows, children first."""
    yield
    with app.app_context():
        for table in reversed(db.metadata.sorted_tables):
            db.session.execute(table.delete())
        db.session.commit()
