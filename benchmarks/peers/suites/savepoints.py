"""The conftest that people write: one schema, and each test in a transaction of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy.session import Session
from sqlalchemy import Connection

from benchmarks.peers.models import db


@pytest.fixture(autouse=True)
def isolated(app: Flask) -> Iterator[None]:
    """Join every session to a transaction that is rolled back."""
    with app.app_context():
        connection = db.engine.connect()
    transaction = connection.begin()

    class Joined(Session):
        def get_bind(self, *arguments: Any, **options: Any) -> Connection:
            return connection

    own = db.session
    mode = "create_savepoint"
    db.session = db._make_scoped_session({"class_": Joined, "join_transaction_mode": mode})
    yield
    db.session = own
    transaction.rollback()
    connection.close()
