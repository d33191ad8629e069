"""How a command moves, through the interface and into the audit trail."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import factories
from app.workspace.models import Command, CommandState

URL = "/api/workspace"

# Written down once more, and not taken from the application: this is what it must do.
LEGAL = {
    ("idle", "commanded"),
    ("commanded", "processing"),
    ("processing", "awaiting_input"),
    ("awaiting_input", "processing"),
    ("processing", "complete"),
}
STATES = ["idle", "commanded", "processing", "awaiting_input", "complete"]
MOVES = list(itertools.product(STATES, STATES))


def trail(client: FlaskClient, command: Command) -> list[dict[str, Any]]:
    """The events of a command, the oldest first."""
    query = {"command_id": command.id, "per_page": 100}
    events = client.get(f"{URL}/events", query_string=query).json["items"]
    return list(reversed(events))


@pytest.mark.parametrize(("start", "end"), [move for move in MOVES if move in LEGAL])
def test_a_legal_move_is_made_and_written_down(client: FlaskClient, start: str, end: str) -> None:
    command = factories.CommandFactory(state=CommandState(start))
    response = client.post(f"{URL}/commands/{command.id}/move", json={"state": end})
    assert (response.status_code, response.json["state"]) == (200, end)
    (event,) = trail(client, command)
    assert event["event_type"] == "command.state_changed"
    assert event["payload"] == {"from": start, "to": end}
    assert (event["agent_id"], event["project_id"]) == (
        command.agent_id,
        command.agent.project_id,
    )


@pytest.mark.parametrize(("start", "end"), [move for move in MOVES if move not in LEGAL])
def test_an_illegal_move_is_refused_and_says_which_are_legal(
    client: FlaskClient, refused: Callable[..., list[str]], start: str, end: str
) -> None:
    command = factories.CommandFactory(state=CommandState(start))
    response = client.post(f"{URL}/commands/{command.id}/move", json={"state": end})
    assert refused(response, 409) == []
    detail = response.json["detail"]
    assert f"from {start} to {end}" in detail
    ways = sorted(target for origin, target in LEGAL if origin == start)
    assert detail.endswith(f"It can move to: {', '.join(ways) or 'nowhere'}.")
    assert client.get(f"{URL}/commands/{command.id}").json["state"] == start
    assert trail(client, command) == []


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(wishes=st.lists(st.sampled_from(STATES), max_size=12))
def test_whatever_is_wished_a_command_walks_only_legal_moves(
    client: FlaskClient, wishes: list[str]
) -> None:
    command = factories.CommandFactory()
    state, walked = "idle", []
    for wish in wishes:
        response = client.post(f"{URL}/commands/{command.id}/move", json={"state": wish})
        legal = (state, wish) in LEGAL
        assert response.status_code == (200 if legal else 409)
        if legal:
            walked.append({"from": state, "to": wish})
            state = wish
    shown = client.get(f"{URL}/commands/{command.id}").json
    assert shown["state"] == state
    assert (shown["completed_at"] is not None) == (state == "complete")
    assert [event["payload"] for event in trail(client, command)] == walked
