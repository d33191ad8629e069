"""What can be done in the governance domain, beyond creating and reading."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from werkzeug.security import check_password_hash

import factories
from app.governance.models import (
    AgentStatus,
    ExecutionStatus,
    FeedbackStatus,
    User,
)
from tests.support.resources import ABSENT_KEY

URL = "/api/governance"
ACTS: dict[str, tuple[set[str], dict[str, Any] | None]] = {
    "start": ({"pending", "paused"}, None),
    "finish": ({"running"}, {"response_summary": "Done", "tokens_used": 42}),
    "fail": ({"running"}, {"error_message": "No access", "tokens_used": 7}),
}
LEGAL = [(act, status) for act, (allowed, _) in ACTS.items() for status in sorted(allowed)]
ILLEGAL = sorted(
    set(itertools.product(ACTS, [status.value for status in ExecutionStatus])) - {*LEGAL}
)


# Users


def test_a_password_is_kept_as_a_hash_and_never_shown(
    db: SQLAlchemy, post: Callable[..., Any]
) -> None:
    body = {
        "email": "Ada@Example.COM",
        "password": "correct horse battery",
        "first_name": "Ada",
        "last_name": "Lovelace",
    }
    shown = post(f"{URL}/users", body)
    user = db.session.get_one(User, shown["id"])
    assert check_password_hash(user.password_hash, body["password"])
    assert body["password"] not in user.password_hash
    assert not {name for name in shown if "password" in name}


@pytest.mark.parametrize("collection", ["users", "feedback", "canvas-audits"])
def test_no_answer_holds_a_password_hash(client: FlaskClient, collection: str) -> None:
    user = factories.UserFactory()
    factories.AgentFeedbackFactory(user=user)
    audit = factories.CanvasAuditFactory(user=user)
    text = client.get(f"{URL}/{collection}").text
    assert str(audit.user_id) in text
    assert "password" not in text
    assert user.password_hash not in text


def test_an_address_belongs_to_one_user_however_it_is_written(
    client: FlaskClient, refused: Callable[..., list[str]]
) -> None:
    factories.UserFactory(email="ada@example.com")
    body = {
        "email": "ADA@example.com",
        "password": "correct horse battery",
        "first_name": "Ada",
        "last_name": "Lovelace",
    }
    assert refused(client.post(f"{URL}/users", json=body), 409) == ["#/email"]


# Executions


def test_an_execution_waits_with_the_maturity_of_its_agent(post: Callable[..., Any]) -> None:
    agent = factories.SupervisedAgentFactory()
    execution = post(f"{URL}/executions", {"agent_id": str(agent.id), "user_request": "Sort"})
    assert execution["status"] == "pending"
    assert execution["maturity_at_execution"] == AgentStatus.SUPERVISED
    assert execution["agent"] == {"id": str(agent.id), "name": agent.name, "status": "supervised"}


def test_an_execution_runs_and_is_finished(post: Callable[..., Any]) -> None:
    key = factories.AgentExecutionFactory(pending=True).id
    before = datetime.now(UTC)
    started = post(f"{URL}/executions/{key}/start")
    assert started["status"] == "running"
    assert datetime.fromisoformat(started["started_at"]) >= before

    finished = post(f"{URL}/executions/{key}/finish", ACTS["finish"][1])
    assert finished["status"] == "completed"
    assert (finished["response_summary"], finished["tokens_used"]) == ("Done", 42)
    assert finished["error_message"] is None
    took = moment(finished, "completed_at") - moment(finished, "started_at")
    assert finished["duration_ms"] == took // timedelta(milliseconds=1)


def moment(shown: dict[str, Any], name: str) -> datetime:
    return datetime.fromisoformat(shown[name])


def test_an_execution_that_fails_says_why(post: Callable[..., Any]) -> None:
    start = datetime.now(UTC) - timedelta(seconds=90)
    key = factories.AgentExecutionFactory(running=True, started_at=start).id
    failed = post(f"{URL}/executions/{key}/fail", ACTS["fail"][1])
    assert (failed["status"], failed["error_message"]) == ("failed", "No access")
    assert failed["response_summary"] is None
    assert 90_000 <= failed["duration_ms"] < 120_000


def test_resuming_keeps_the_start(post: Callable[..., Any]) -> None:
    execution = factories.AgentExecutionFactory(paused=True)
    resumed = post(f"{URL}/executions/{execution.id}/start")
    assert moment(resumed, "started_at") == execution.started_at


def test_an_execution_started_by_a_clock_that_was_ahead_can_end(post: Callable[..., Any]) -> None:
    ahead = datetime.now(UTC) + timedelta(minutes=5)
    key = factories.AgentExecutionFactory(running=True, started_at=ahead).id
    finished = post(f"{URL}/executions/{key}/finish", ACTS["finish"][1])
    assert (moment(finished, "completed_at"), finished["duration_ms"]) == (ahead, 0)


@pytest.mark.parametrize(("act", "status"), LEGAL)
def test_an_act_is_done_where_it_is_legal(post: Callable[..., Any], act: str, status: str) -> None:
    execution = factories.AgentExecutionFactory(status=ExecutionStatus(status))
    assert post(f"{URL}/executions/{execution.id}/{act}", ACTS[act][1])["status"] != status


@pytest.mark.parametrize(("act", "status"), ILLEGAL)
def test_an_act_is_refused_where_it_is_not(
    client: FlaskClient, refused: Callable[..., list[str]], act: str, status: str
) -> None:
    execution = factories.AgentExecutionFactory(status=ExecutionStatus(status))
    url = f"{URL}/executions/{execution.id}"
    before = client.get(url).json
    response = client.post(f"{url}/{act}", json=ACTS[act][1])
    assert refused(response, 409) == []
    assert status in response.json["detail"]
    assert client.get(url).json == before


# Feedback


@pytest.mark.parametrize("verdict", ["accepted", "rejected"])
def test_feedback_is_adjudicated_once(
    client: FlaskClient,
    post: Callable[..., Any],
    refused: Callable[..., list[str]],
    verdict: str,
) -> None:
    url = f"{URL}/feedback/{factories.AgentFeedbackFactory().id}/adjudicate"
    adjudicated = post(url, {"status": verdict})
    assert adjudicated["status"] == verdict
    assert moment(adjudicated, "adjudicated_at") >= moment(adjudicated, "created_at")
    again = client.post(url, json={"status": "accepted"})
    refused(again, 409)
    assert verdict in again.json["detail"]


@pytest.mark.parametrize(
    ("kind", "point"),
    [("correction", "user_correction"), ("approval", "thumbs_up"), ("rating", "rating")],
)
def test_feedback_needs_what_its_kind_is_for(
    client: FlaskClient, refused: Callable[..., list[str]], kind: str, point: str
) -> None:
    body = {
        "agent_id": str(factories.AgentFactory().id),
        "user_id": str(factories.UserFactory().id),
        "feedback_type": kind,
        "original_output": "Sorted",
    }
    assert refused(client.post(f"{URL}/feedback", json=body), 400) == [f"#/{point}"]


def test_feedback_cannot_be_about_another_agents_execution(
    client: FlaskClient, post: Callable[..., Any], refused: Callable[..., list[str]]
) -> None:
    execution = factories.AgentExecutionFactory()
    body = {
        "agent_id": str(factories.AgentFactory().id),
        "execution_id": str(execution.id),
        "user_id": str(factories.UserFactory().id),
        "feedback_type": "comment",
        "original_output": "Sorted",
    }
    assert refused(client.post(f"{URL}/feedback", json=body), 400) == ["#/execution_id"]
    given = post(f"{URL}/feedback", body | {"agent_id": str(execution.agent_id)})
    assert given["execution_id"] == str(execution.id)
    assert given["status"] == FeedbackStatus.PENDING


# Episodes


def new_episode(**values: Any) -> dict[str, Any]:
    return {
        "agent_id": str(factories.AgentFactory().id),
        "title": "Morning",
        "summary": "Mail",
        "episode_type": "task",
        "maturity_at_start": "student",
        "started_at": "2026-01-02T03:04:05Z",
        **values,
    }


def segment(**values: Any) -> dict[str, Any]:
    return {
        "segment_type": "task",
        "content_summary": "Sorted",
        "started_at": "2026-01-02T03:04:05Z",
        "ended_at": "2026-01-02T03:05:05Z",
        "agent_maturity": "student",
        "confidence_score": 0.5,
        **values,
    }


def test_an_episode_keeps_the_order_of_its_segments(post: Callable[..., Any]) -> None:
    texts = ["third thing", "first thing", "second thing"]
    segments = [segment(content_summary=text, metadata={"said": text}) for text in texts]
    shown = post(f"{URL}/episodes", new_episode(segments=segments))["segments"]
    assert [part["content_summary"] for part in shown] == texts
    assert [part["sequence_order"] for part in shown] == [0, 1, 2]
    assert [part["metadata"] for part in shown] == [{"said": text} for text in texts]


def test_the_faults_of_segments_are_named_with_their_place(
    client: FlaskClient, refused: Callable[..., list[str]]
) -> None:
    segments = [
        segment(),
        segment(ended_at="2026-01-02T03:04:04Z", confidence_score=2),
        segment(metadata={"a": ["nul \0"]}, segment_type="nonsense"),
    ]
    response = client.post(f"{URL}/episodes", json=new_episode(title="", segments=segments))
    assert set(refused(response, 400)) == {
        "#/title",
        "#/segments/1/ended_at",
        "#/segments/1/confidence_score",
        "#/segments/2/metadata",
        "#/segments/2/segment_type",
    }


def test_an_open_episode_is_closed_once(
    client: FlaskClient, post: Callable[..., Any], refused: Callable[..., list[str]]
) -> None:
    opened = post(f"{URL}/episodes", new_episode())
    assert (opened["ended_at"], opened["maturity_at_end"]) == (opened["started_at"], "student")
    url = f"{URL}/episodes/{opened['id']}/close"
    before = datetime.now(UTC)
    closed = post(url, {"maturity_at_end": "intern", "constitutional_score": 0.75})
    assert moment(closed, "ended_at") >= before
    assert (closed["maturity_at_end"], closed["constitutional_score"]) == ("intern", 0.75)
    assert closed["summary"] == opened["summary"]
    refused(client.post(url, json={}), 409)


@pytest.mark.parametrize("end", ["2026-01-02T03:04:05Z", "2025-12-31T23:59:59Z"])
def test_an_episode_cannot_be_closed_before_it_has_begun(
    client: FlaskClient, post: Callable[..., Any], refused: Callable[..., list[str]], end: str
) -> None:
    url = f"{URL}/episodes/{post(f'{URL}/episodes', new_episode())['id']}"
    assert refused(client.post(f"{url}/close", json={"ended_at": end}), 400) == ["#/ended_at"]
    shown = client.get(url).json
    assert shown["ended_at"] == shown["started_at"]


def test_an_episode_that_is_consolidated_says_so(post: Callable[..., Any]) -> None:
    whole = factories.EpisodeFactory()
    part = post(f"{URL}/episodes", new_episode(consolidated_into_id=str(whole.id)))
    assert (part["is_consolidated"], part["consolidated_into_id"]) == (True, str(whole.id))
    assert post(f"{URL}/episodes", new_episode())["is_consolidated"] is False


# Canvas audits


def test_a_canvas_has_error_details_only_after_an_error(
    client: FlaskClient, refused: Callable[..., list[str]]
) -> None:
    body = {
        "agent_id": str(factories.AgentFactory().id),
        "user_id": str(factories.UserFactory().id),
        "canvas_type": "docs",
        "action": "present",
        "canvas_data": {"title": "Plan"},
        "interaction_summary": "Read",
        "presented_at": "2026-01-02T03:04:05Z",
        "closed_at": "2026-01-02T03:04:05Z",
        "result_status": "success",
        "error_details": "None, really",
    }
    url = f"{URL}/canvas-audits"
    assert refused(client.post(url, json=body), 400) == ["#/error_details"]
    assert client.post(url, json=body | {"result_status": "error"}).status_code == 201


@pytest.mark.parametrize(
    ("data", "pointers"),
    [
        ({}, ["#/canvas_data/title"]),
        ({"title": "x" * 301}, ["#/canvas_data/title"]),
        ({"title": "A", "colour": "red"}, ["#/canvas_data/colour"]),
        ({"title": "A", "components": [{}, 7]}, ["#/canvas_data/components/1"]),
        ({"title": "A", "components": [{"deep": [{"nul \0": 1}]}]}, ["#/canvas_data/components/0"]),
    ],
)
def test_a_canvas_must_have_its_form(
    client: FlaskClient,
    refused: Callable[..., list[str]],
    data: dict[str, Any],
    pointers: list[str],
) -> None:
    body = {
        "agent_id": str(factories.AgentFactory().id),
        "user_id": str(factories.UserFactory().id),
        "canvas_type": "docs",
        "action": "present",
        "canvas_data": data,
        "interaction_summary": "Read",
        "presented_at": "2026-01-02T03:04:05Z",
        "closed_at": "2026-01-02T03:04:05Z",
        "result_status": "success",
    }
    assert refused(client.post(f"{URL}/canvas-audits", json=body), 400) == pointers


# Bad input


BAD_BODIES: list[tuple[str, dict[str, Any], set[str]]] = [
    ("executions/{}/finish", {}, {"response_summary"}),
    (
        "executions/{}/finish",
        {"response_summary": "\0", "tokens_used": -1, "x": 1},
        {"response_summary", "tokens_used", "x"},
    ),
    ("executions/{}/finish", {"response_summary": "a", "tokens_used": 2**63}, {"tokens_used"}),
    ("executions/{}/fail", {}, {"error_message"}),
    (
        "executions/{}/fail",
        {"error_message": "", "tokens_used": "7"},
        {"error_message", "tokens_used"},
    ),
    ("feedback/{}/adjudicate", {}, {"status"}),
    ("feedback/{}/adjudicate", {"status": "pending"}, {"status"}),
    (
        "episodes/{}/close",
        {"ended_at": "now", "summary": "", "maturity_at_end": "x", "constitutional_score": 2},
        {"ended_at", "summary", "maturity_at_end", "constitutional_score"},
    ),
    ("episodes/{}/close", {"intervention_count": 2**31}, {"intervention_count"}),
]


@pytest.mark.parametrize(("route", "body", "fields"), BAD_BODIES)
def test_an_act_names_every_bad_field(
    client: FlaskClient,
    refused: Callable[..., list[str]],
    route: str,
    body: dict[str, Any],
    fields: set[str],
) -> None:
    pointers = refused(client.post(f"{URL}/{route.format(ABSENT_KEY)}", json=body), 400)
    assert set(pointers) == {f"#/{name}" for name in fields}


@pytest.mark.parametrize("key", [ABSENT_KEY, "nonsense", "7"])
@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("executions/{}/start", None),
        ("executions/{}/finish", {"response_summary": "a"}),
        ("executions/{}/fail", {"error_message": "a"}),
        ("feedback/{}/adjudicate", {"status": "accepted"}),
        ("episodes/{}/close", {}),
    ],
)
def test_an_act_on_nothing_is_not_found(
    client: FlaskClient,
    refused: Callable[..., list[str]],
    route: str,
    body: dict[str, Any] | None,
    key: str,
) -> None:
    refused(client.post(f"{URL}/{route.format(key)}", json=body), 404)
