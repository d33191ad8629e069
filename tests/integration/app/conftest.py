"""What the tests of the interface share: its resources, and how to look at its answers.

A test that requests ``resource`` runs once for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from werkzeug.test import TestResponse

from tests.support.resources import RESOURCES, Resource


@pytest.fixture
def resources() -> list[Resource]:
    """All collections of the interface."""
    return RESOURCES


@pytest.fixture(params=RESOURCES, ids=lambda resource: resource.url.removeprefix("/api/"))
def resource(request: pytest.FixtureRequest) -> Resource:
    """Each collection of the interface in turn."""
    chosen: Resource = request.param
    return chosen


@pytest.fixture
def refused() -> Callable[..., list[str]]:
    """Check that an answer is a problem with this status; get the places of its faults."""

    def check(response: TestResponse, status: int, place: str = "body") -> list[str]:
        assert (response.status_code, response.mimetype) == (status, "application/problem+json")
        problem = response.json
        assert problem["status"] == status
        assert all(problem[member] for member in ("type", "title", "detail"))
        assert all(fault["message"] and fault["in"] == place for fault in problem["errors"])
        return [fault["pointer"] for fault in problem["errors"]]

    return check


Counter = Callable[[], AbstractContextManager[list[str]]]


@pytest.fixture
def statements(db: SQLAlchemy) -> Counter:
    """Collect the SQL that is sent to the database in a block."""

    @contextmanager
    def collect() -> Iterator[list[str]]:
        sent: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            sent.append(statement)

        sa.event.listen(db.engine, "before_cursor_execute", note)
        try:
            yield sent
        finally:
            sa.event.remove(db.engine, "before_cursor_execute", note)

    return collect


@pytest.fixture
def post(client: FlaskClient) -> Callable[..., Any]:
    """Send a JSON body that must be accepted; get the answer's."""

    def send(url: str, body: dict[str, Any] | None = None) -> Any:
        response = client.post(url, json=body)
        assert response.status_code in (200, 201), response.text
        return response.json

    return send
