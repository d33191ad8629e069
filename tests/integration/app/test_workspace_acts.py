"""What can be done in the workspace domain, beyond creating and reading."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

import factories
from factories import workspace

URL = "/api/workspace"


def moment(shown: dict[str, Any], name: str) -> datetime:
    return datetime.fromisoformat(shown[name])


# Projects


@pytest.mark.parametrize("taken", ["slug", "path"])
def test_a_slug_and_a_path_belong_to_one_project(
    client: FlaskClient, refused: Callable[..., list[str]], taken: str
) -> None:
    project = factories.ProjectFactory()
    body = {"name": "New", "slug": "new", "path": "/srv/new"} | {taken: getattr(project, taken)}
    assert refused(client.post(f"{URL}/projects", json=body), 409) == [f"#/{taken}"]


# Sessions


def test_a_session_begins_live_and_idle(post: Callable[..., Any]) -> None:
    project = factories.ProjectFactory()
    agent = post(f"{URL}/agents", {"project_id": project.id})
    assert agent["project"] == {"id": project.id, "name": project.name, "slug": project.slug}
    assert (agent["state"], agent["ended_at"]) == ("idle", None)
    assert agent["started_at"] == agent["last_seen_at"]


def test_a_session_uuid_belongs_to_one_session(
    client: FlaskClient, refused: Callable[..., list[str]]
) -> None:
    agent = workspace.AgentFactory()
    body = {"project_id": agent.project_id, "session_uuid": str(agent.session_uuid)}
    assert refused(client.post(f"{URL}/agents", json=body), 409) == ["#/session_uuid"]


@pytest.mark.parametrize("half", [{"priority_score": 0}, {"priority_reason": "Somebody waits"}])
def test_a_priority_needs_its_score_and_its_reason(
    client: FlaskClient, refused: Callable[..., list[str]], half: dict[str, Any]
) -> None:
    body = {"project_id": factories.ProjectFactory().id} | half
    assert refused(client.post(f"{URL}/agents", json=body), 400) == ["#/priority_reason"]


def test_a_session_ends_once(
    client: FlaskClient, post: Callable[..., Any], refused: Callable[..., list[str]]
) -> None:
    agent = workspace.AgentFactory()
    ended = post(f"{URL}/agents/{agent.id}/end")
    assert ended["ended_at"] == ended["last_seen_at"]
    assert moment(ended, "ended_at") >= agent.last_seen_at
    refused(client.post(f"{URL}/agents/{agent.id}/end"), 409)


def test_a_session_that_has_ended_takes_no_command(
    client: FlaskClient, refused: Callable[..., list[str]]
) -> None:
    agent = workspace.AgentFactory(ended=True)
    response = client.post(f"{URL}/commands", json={"agent_id": agent.id})
    refused(response, 409)


def test_a_session_has_the_state_of_its_newest_command_that_is_not_complete(
    client: FlaskClient,
) -> None:
    agent = workspace.AgentFactory()
    now = datetime.now(UTC)

    def state() -> Any:
        return client.get(f"{URL}/agents/{agent.id}").json["state"]

    def command(minutes_ago: int, **trait: bool) -> None:
        start = now - timedelta(minutes=minutes_ago)
        factories.CommandFactory(agent=agent, started_at=start, **trait)

    assert state() == "idle"
    command(30, processing=True)
    assert state() == "processing"
    command(20, complete=True)
    assert state() == "processing"
    command(40, awaiting_input=True)
    assert state() == "processing"
    command(10, commanded=True)
    assert state() == "commanded"
    command(10, awaiting_input=True)
    assert state() == "awaiting_input", "of two that began together, the later row is the newer"


# Commands


def test_a_command_gets_its_instruction_when_it_is_commanded(
    client: FlaskClient, post: Callable[..., Any], refused: Callable[..., list[str]]
) -> None:
    command = post(f"{URL}/commands", {"agent_id": workspace.AgentFactory().id})
    assert (command["state"], command["instruction"]) == ("idle", None)
    url = f"{URL}/commands/{command['id']}"
    assert refused(client.post(f"{url}/move", json={"state": "commanded"}), 400) == [
        "#/instruction"
    ]
    assert client.get(url).json["state"] == "idle"
    moved = post(f"{url}/move", {"state": "commanded", "instruction": "Sort my mail"})
    assert (moved["state"], moved["instruction"]) == ("commanded", "Sort my mail")
    assert post(f"{url}/move", {"state": "processing"})["instruction"] == "Sort my mail"


def test_a_command_keeps_the_instruction_that_it_has(post: Callable[..., Any]) -> None:
    command = factories.CommandFactory(instruction="Sort my mail")
    moved = post(f"{URL}/commands/{command.id}/move", {"state": "commanded"})
    assert moved["instruction"] == "Sort my mail"


def test_a_complete_command_says_when_and_what(post: Callable[..., Any]) -> None:
    command = factories.CommandFactory(processing=True)
    body = {"state": "complete", "completion_summary": "All sorted"}
    moved = post(f"{URL}/commands/{command.id}/move", body)
    assert (moved["state"], moved["completion_summary"]) == ("complete", "All sorted")
    assert moment(moved, "completed_at") >= moment(moved, "started_at")


def test_a_command_shows_its_turns_in_order(client: FlaskClient) -> None:
    command = factories.CommandFactory(processing=True)
    turns = [factories.TurnFactory(command=command) for _ in range(3)]
    factories.TurnFactory()
    shown = client.get(f"{URL}/commands/{command.id}").json["turns"]
    assert [turn["id"] for turn in shown] == [turn.id for turn in turns]


# Turns


def test_a_turn_answers_an_earlier_one(client: FlaskClient, post: Callable[..., Any]) -> None:
    question = factories.TurnFactory()
    body = {
        "command_id": question.command_id,
        "actor": "user",
        "intent": "answer",
        "text": "By date",
        "answers_turn_id": question.id,
    }
    answer = post(f"{URL}/turns", body)
    shown = client.get(f"{URL}/turns/{question.id}").json
    assert shown["answered_by_turn_id"] == answer["id"]
    assert answer["answered_by_turn_id"] is None


def test_a_turn_is_answered_once_and_within_its_command(
    client: FlaskClient, post: Callable[..., Any], refused: Callable[..., list[str]]
) -> None:
    question = factories.TurnFactory()
    body = {"actor": "user", "intent": "answer", "text": "Yes", "answers_turn_id": question.id}
    elsewhere = body | {"command_id": factories.CommandFactory().id}
    assert refused(client.post(f"{URL}/turns", json=elsewhere), 400) == ["#/answers_turn_id"]
    here = body | {"command_id": question.command_id}
    post(f"{URL}/turns", here)
    refused(client.post(f"{URL}/turns", json=here), 409)


# Events


def test_an_event_needs_none_of_its_keys(post: Callable[..., Any]) -> None:
    event = post(f"{URL}/events", {"event_type": "clock.struck"})
    keys = ("payload", "project_id", "agent_id", "command_id", "turn_id")
    assert [event[key] for key in keys] == [None] * 5


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_payload_cannot_hold_a_number_that_is_not_finite(
    client: FlaskClient, refused: Callable[..., list[str]], number: str
) -> None:
    body = f'{{"event_type": "a", "payload": {{"deep": [{{"number": {number}}}]}}}}'
    response = client.post(f"{URL}/events", data=body, content_type="application/json")
    assert refused(response, 400) == ["#/payload"]


@pytest.mark.parametrize("document", ['{"a": "\\ud800"}', '{"\\udfff": 1}', '{"a":' * 400])
def test_a_payload_that_is_no_json_is_refused(
    client: FlaskClient, refused: Callable[..., list[str]], document: str
) -> None:
    body = f'{{"event_type": "a", "payload": {document}}}'
    response = client.post(f"{URL}/events", data=body, content_type="application/json")
    assert refused(response, 400) == ["#"]


def test_a_payload_comes_back_as_it_was_sent(client: FlaskClient, post: Callable[..., Any]) -> None:
    payload = {
        "": None,
        "large": 10**40,
        "small": 1e-300,
        "text": "\u2028 \U0001f600 \x7f",
        "e": {},
    }
    event = post(f"{URL}/events", {"event_type": "a", "payload": payload})
    assert client.get(f"{URL}/events/{event['id']}").json["payload"] == payload


# Objectives


def test_an_objective_keeps_its_history(client: FlaskClient, post: Callable[..., Any]) -> None:
    first = post(f"{URL}/objectives", {"text": "An empty inbox", "constraints": "Delete nothing"})
    url = f"{URL}/objectives/{first['id']}"
    response = client.put(url, json={"text": "Inbox below ten", "priority_enabled": False})
    assert response.status_code == 200
    second = response.json
    assert (second["current_text"], second["constraints"]) == ("Inbox below ten", None)
    assert second["priority_enabled"] is False
    old, new = second["history"]
    assert (old["text"], old["constraints"]) == ("An empty inbox", "Delete nothing")
    assert old["ended_at"] == new["started_at"] == second["set_at"]
    assert (new["text"], new["ended_at"]) == ("Inbox below ten", None)
    assert client.get(url).json == second


def test_setting_an_objective_ends_only_what_has_not_ended(client: FlaskClient) -> None:
    objective = factories.ObjectiveFactory()
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    ended = factories.ObjectiveHistoryFactory(objective=objective, started_at=start, ended_at=end)
    shown = client.put(f"{URL}/objectives/{objective.id}", json={"text": "New"}).json
    entry = next(entry for entry in shown["history"] if entry["id"] == ended.id)
    assert moment(entry, "ended_at") == end


# Bad input


BAD_BODIES: list[tuple[str, str, dict[str, Any], set[str]]] = [
    ("POST", "commands/1/move", {}, {"state"}),
    ("POST", "commands/1/move", {"state": "nonsense", "x": 1}, {"state", "x"}),
    (
        "POST",
        "commands/1/move",
        {"state": "processing", "instruction": "a", "completion_summary": "b"},
        {"instruction", "completion_summary"},
    ),
    ("POST", "commands/1/move", {"state": "commanded", "instruction": "\0"}, {"instruction"}),
    (
        "POST",
        "commands/1/move",
        {"state": "complete", "completion_summary": ""},
        {"completion_summary"},
    ),
    ("PUT", "objectives/1", {}, {"text"}),
    (
        "PUT",
        "objectives/1",
        {"text": "\0", "constraints": "", "priority_enabled": None, "x": 1},
        {"text", "constraints", "priority_enabled", "x"},
    ),
]


@pytest.mark.parametrize(("method", "route", "body", "fields"), BAD_BODIES)
def test_an_act_names_every_bad_field(
    client: FlaskClient,
    refused: Callable[..., list[str]],
    method: str,
    route: str,
    body: dict[str, Any],
    fields: set[str],
) -> None:
    response = client.open(f"{URL}/{route}", method=method, json=body)
    assert set(refused(response, 400)) == {f"#/{name}" for name in fields}


@pytest.mark.parametrize(
    "key", ["0", "1", "-1", "nonsense", str(2**63 - 1), str(2**63), "9" * 5000]
)
@pytest.mark.parametrize(
    ("method", "route", "body"),
    [
        ("POST", "agents/{}/end", None),
        ("POST", "commands/{}/move", {"state": "commanded"}),
        ("PUT", "objectives/{}", {"text": "a"}),
    ],
)
def test_an_act_on_nothing_is_not_found(
    client: FlaskClient,
    refused: Callable[..., list[str]],
    method: str,
    route: str,
    body: dict[str, Any] | None,
    key: str,
) -> None:
    refused(client.open(f"{URL}/{route.format(key)}", method=method, json=body), 404)
