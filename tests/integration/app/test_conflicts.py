"""What happens when two requests meet, and when the database refuses after all."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy

import factories
from app.extensions import utc_now
from app.governance import services
from app.governance.models import AgentExecution, AgentStatus
from tests.support.waiting import PATIENCE

ACTS: list[tuple[Callable[[], Any], str, dict[str, Any] | None]] = [
    (
        lambda: factories.AgentExecutionFactory(pending=True),
        "/api/governance/executions/{}/start",
        None,
    ),
    (
        lambda: factories.AgentExecutionFactory(running=True),
        "/api/governance/executions/{}/finish",
        {"response_summary": "Done"},
    ),
    (
        factories.AgentFeedbackFactory,
        "/api/governance/feedback/{}/adjudicate",
        {"status": "accepted"},
    ),
    (
        lambda: factories.EpisodeFactory(ongoing=True),
        "/api/governance/episodes/{}/close",
        {},
    ),
    (factories.CommandFactory, "/api/workspace/commands/{}/move", {"state": "commanded"}),
    (factories.workspace.AgentFactory, "/api/workspace/agents/{}/end", None),
]


def wait_until_blocked(connection: sa.Connection, count: int) -> None:
    """Wait until this many sessions wait for a lock that ``connection`` holds."""
    blocked = sa.text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    deadline = time.monotonic() + 10
    while (connection.scalar(blocked) or 0) < count:
        assert time.monotonic() < deadline, "the requests do not wait for the row"
        time.sleep(0.01)
        # Within one transaction PostgreSQL would go on showing what it showed first.
        connection.execute(sa.text("SELECT pg_stat_clear_snapshot()"))


@pytest.mark.parametrize(("make", "route", "body"), ACTS, ids=[route for _, route, _ in ACTS])
def test_of_two_acts_at_once_only_one_is_done(
    app: Flask, db: SQLAlchemy, make: Callable[[], Any], route: str, body: dict[str, Any] | None
) -> None:
    row = make()
    table, url = type(row).__table__, route.format(row.id)
    held = sa.select(table.c.id).where(table.c.id == row.id).with_for_update()
    db.session.rollback()

    def act() -> int:
        return app.test_client().post(url, json=body).status_code

    with ThreadPoolExecutor(2) as pool:
        with db.engine.connect() as connection:
            connection.execute(held)
            results = [pool.submit(act) for _ in range(2)]
            wait_until_blocked(connection, 2)
            connection.rollback()
        assert sorted(result.result(timeout=PATIENCE) for result in results) == [200, 409]


def test_a_reference_that_vanished_meanwhile_is_a_conflict(
    client: FlaskClient, refused: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def create_too_late(_new: object) -> AgentExecution:
        return services.save(execution(agent_id=uuid.uuid4()))

    monkeypatch.setattr(services, "create_execution", create_too_late)
    body = {"agent_id": str(factories.AgentFactory().id), "user_request": "Sort"}
    assert refused(client.post("/api/governance/executions", json=body), 409) == ["#/agent_id"]


def test_what_only_a_check_refuses_is_an_error_of_the_server(
    app: Flask,
    client: FlaskClient,
    refused: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent = factories.AgentFactory()

    def create_badly(_new: object) -> AgentExecution:
        return services.save(execution(agent_id=agent.id, tokens_used=-1))

    monkeypatch.setattr(services, "create_execution", create_badly)
    monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
    body = {"agent_id": str(agent.id), "user_request": "Sort"}
    response = client.post("/api/governance/executions", json=body)
    assert refused(response, 500) == []
    assert "tokens_used" not in response.text


def execution(**values: Any) -> AgentExecution:
    return AgentExecution(
        user_request="Sort",
        started_at=utc_now(),
        maturity_at_execution=AgentStatus.STUDENT,
        **values,
    )
