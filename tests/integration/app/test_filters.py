"""How lists are filtered."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

import factories
from app.governance.models import AgentStatus, EpisodeType, FeedbackType, UserRole
from app.workspace.models import TurnActor, TurnIntent
from factories import workspace

Make = Callable[[], Any]
KEY = uuid.UUID("11111111-1111-4111-8111-111111111111")

# Of each filter: where, how, what it finds, and what it leaves out.
FILTERS: list[tuple[str, dict[str, Any], Make, Make]] = [
    (
        "governance/users",
        {"role": "viewer"},
        lambda: factories.UserFactory(role=UserRole.VIEWER),
        factories.UserFactory,
    ),
    (
        "governance/users",
        {"status": "suspended"},
        lambda: factories.UserFactory(suspended=True),
        factories.UserFactory,
    ),
    (
        "governance/users",
        {"q": "LOVE"},
        lambda: factories.UserFactory(last_name="Lovelace"),
        lambda: factories.UserFactory(first_name="A", last_name="B", email="c@example.com"),
    ),
    (
        "governance/agents",
        {"status": "autonomous"},
        factories.AutonomousAgentFactory,
        lambda: factories.AgentFactory(status=AgentStatus.INTERN),
    ),
    (
        "governance/agents",
        {"category": "sales"},
        lambda: factories.AgentFactory(category="sales"),
        lambda: factories.AgentFactory(category="sales and more"),
    ),
    (
        "governance/agents",
        {"q": "100%"},
        lambda: factories.AgentFactory(description="Does 100% of it"),
        lambda: factories.AgentFactory(description="Does 1000 of them", name="100 x"),
    ),
    (
        "governance/executions",
        {"agent_id": KEY},
        lambda: factories.AgentExecutionFactory(agent__id=KEY),
        factories.AgentExecutionFactory,
    ),
    (
        "governance/executions",
        {"status": "timeout"},
        lambda: factories.AgentExecutionFactory(timeout=True),
        factories.AgentExecutionFactory,
    ),
    (
        "governance/executions",
        {"trigger_source": "webhook"},
        lambda: factories.AgentExecutionFactory(webhook=True),
        factories.AgentExecutionFactory,
    ),
    (
        "governance/feedback",
        {"agent_id": KEY},
        lambda: factories.AgentFeedbackFactory(agent=factories.AgentFactory(id=KEY)),
        factories.AgentFeedbackFactory,
    ),
    (
        "governance/feedback",
        {"execution_id": KEY},
        lambda: factories.AgentFeedbackFactory(execution=factories.AgentExecutionFactory(id=KEY)),
        factories.AgentFeedbackFactory,
    ),
    (
        "governance/feedback",
        {"user_id": KEY},
        lambda: factories.AgentFeedbackFactory(user__id=KEY),
        factories.AgentFeedbackFactory,
    ),
    (
        "governance/feedback",
        {"feedback_type": "comment"},
        lambda: factories.AgentFeedbackFactory(feedback_type=FeedbackType.COMMENT),
        factories.AgentFeedbackFactory,
    ),
    (
        "governance/feedback",
        {"status": "rejected"},
        lambda: factories.AgentFeedbackFactory(rejected=True),
        factories.AgentFeedbackFactory,
    ),
    (
        "governance/episodes",
        {"agent_id": KEY},
        lambda: factories.EpisodeFactory(agent__id=KEY),
        factories.EpisodeFactory,
    ),
    (
        "governance/episodes",
        {"episode_type": "review"},
        lambda: factories.EpisodeFactory(episode_type=EpisodeType.REVIEW),
        factories.EpisodeFactory,
    ),
    (
        "governance/episodes",
        {"is_consolidated": "true"},
        lambda: factories.EpisodeFactory(is_consolidated=True),
        factories.EpisodeFactory,
    ),
    (
        "governance/episodes",
        {"is_consolidated": "false"},
        factories.EpisodeFactory,
        lambda: factories.EpisodeFactory(is_consolidated=True),
    ),
    (
        "governance/canvas-audits",
        {"agent_id": KEY},
        lambda: factories.CanvasAuditFactory(agent__id=KEY),
        factories.CanvasAuditFactory,
    ),
    (
        "governance/canvas-audits",
        {"user_id": KEY},
        lambda: factories.CanvasAuditFactory(user__id=KEY),
        factories.CanvasAuditFactory,
    ),
    (
        "governance/canvas-audits",
        {"canvas_type": "terminal"},
        lambda: factories.CanvasAuditFactory(terminal=True),
        factories.CanvasAuditFactory,
    ),
    (
        "governance/canvas-audits",
        {"action": "execute"},
        lambda: factories.CanvasAuditFactory(execute=True),
        factories.CanvasAuditFactory,
    ),
    (
        "governance/canvas-audits",
        {"result_status": "error"},
        lambda: factories.CanvasAuditFactory(error=True),
        factories.CanvasAuditFactory,
    ),
    (
        "workspace/projects",
        {"q": "MAIL_"},
        lambda: factories.ProjectFactory(path="/srv/mail_sorter"),
        lambda: factories.ProjectFactory(path="/srv/mailbox", name="mail"),
    ),
    (
        "workspace/agents",
        {"project_id": 77},
        lambda: workspace.AgentFactory(project__id=77),
        workspace.AgentFactory,
    ),
    (
        "workspace/agents",
        {"registry_id": KEY},
        lambda: workspace.AgentFactory(registry_id=factories.AgentFactory(id=KEY).id),
        lambda: workspace.AgentFactory(registered=True),
    ),
    (
        "workspace/agents",
        {"state": "processing"},
        lambda: factories.CommandFactory(processing=True).agent,
        lambda: factories.CommandFactory(complete=True).agent,
    ),
    (
        "workspace/agents",
        {"state": "idle"},
        workspace.AgentFactory,
        lambda: factories.CommandFactory(processing=True).agent,
    ),
    (
        "workspace/agents",
        {"live": "true"},
        workspace.AgentFactory,
        lambda: workspace.AgentFactory(ended=True),
    ),
    (
        "workspace/agents",
        {"live": "false"},
        lambda: workspace.AgentFactory(ended=True),
        workspace.AgentFactory,
    ),
    (
        "workspace/commands",
        {"agent_id": 77},
        lambda: factories.CommandFactory(agent__id=77),
        factories.CommandFactory,
    ),
    (
        "workspace/commands",
        {"state": "complete"},
        lambda: factories.CommandFactory(complete=True),
        factories.CommandFactory,
    ),
    (
        "workspace/turns",
        {"command_id": 77},
        lambda: factories.TurnFactory(command__id=77),
        factories.TurnFactory,
    ),
    (
        "workspace/turns",
        {"actor": "user"},
        lambda: factories.TurnFactory(actor=TurnActor.USER),
        lambda: factories.TurnFactory(actor=TurnActor.AGENT),
    ),
    (
        "workspace/turns",
        {"intent": "progress"},
        lambda: factories.TurnFactory(intent=TurnIntent.PROGRESS),
        lambda: factories.TurnFactory(intent=TurnIntent.QUESTION),
    ),
    (
        "workspace/events",
        {"event_type": "clock.struck"},
        lambda: factories.EventFactory(event_type="clock.struck"),
        factories.EventFactory,
    ),
    (
        "workspace/events",
        {"project_id": 77},
        lambda: factories.EventFactory(project=factories.ProjectFactory(id=77)),
        lambda: factories.EventFactory(with_chain=True),
    ),
    (
        "workspace/events",
        {"agent_id": 77},
        lambda: factories.EventFactory(agent=workspace.AgentFactory(id=77)),
        lambda: factories.EventFactory(with_chain=True),
    ),
    (
        "workspace/events",
        {"command_id": 77},
        lambda: factories.EventFactory(command=factories.CommandFactory(id=77)),
        lambda: factories.EventFactory(with_chain=True),
    ),
    (
        "workspace/events",
        {"turn_id": 77},
        lambda: factories.EventFactory(turn=factories.TurnFactory(id=77)),
        lambda: factories.EventFactory(with_chain=True),
    ),
    (
        "workspace/objectives",
        {"priority_enabled": "false"},
        lambda: factories.ObjectiveFactory(priority_enabled=False),
        lambda: factories.ObjectiveFactory(priority_enabled=True),
    ),
]


def test_every_filter_is_tried(resources: list[Any]) -> None:
    offered = {
        (resource.url.removeprefix("/api/"), name)
        for resource in resources
        for name in set(resource.listing.model_fields) - {"page", "per_page"}
    }
    assert {(where, name) for where, query, *_ in FILTERS for name in query} == offered


@pytest.mark.parametrize(
    ("where", "query", "match", "other"), FILTERS, ids=[f"{f[0]}?{f[1]}" for f in FILTERS]
)
def test_a_filter_finds_what_matches_and_nothing_else(
    client: FlaskClient, where: str, query: dict[str, Any], match: Make, other: Make
) -> None:
    found = match()
    other()
    shown = client.get(f"/api/{where}", query_string=query).json
    keys = [item["id"] for item in shown["items"]]
    assert keys == [found.id if isinstance(found.id, int) else str(found.id)]
    assert shown["total"] == 1


def test_filters_are_combined(client: FlaskClient) -> None:
    agent = factories.AgentFactory()
    failed = factories.AgentExecutionFactory(agent=agent, failed=True)
    factories.AgentExecutionFactory(agent=agent)
    factories.AgentExecutionFactory(failed=True)
    query = {"agent_id": agent.id, "status": "failed"}
    shown = client.get("/api/governance/executions", query_string=query).json
    assert [item["id"] for item in shown["items"]] == [str(failed.id)]


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        ("governance/executions", "agent_id", "nonsense"),
        ("governance/executions", "status", "nonsense"),
        ("governance/users", "q", "nul \0"),
        ("governance/users", "q", "x" * 201),
        ("workspace/agents", "project_id", str(2**63)),
        ("workspace/agents", "project_id", "0"),
        ("workspace/agents", "live", "perhaps"),
        ("workspace/events", "turn_id", "9" * 5000),
    ],
)
def test_a_bad_filter_is_refused(
    client: FlaskClient,
    refused: Callable[..., list[str]],
    where: str,
    name: str,
    value: str,
) -> None:
    response = client.get(f"/api/{where}", query_string={name: value})
    assert refused(response, 400, "query") == [f"#/{name}"]


def test_an_unknown_key_filters_everything_out(client: FlaskClient) -> None:
    workspace.AgentFactory()
    shown = client.get("/api/workspace/agents", query_string={"project_id": 2**63 - 1}).json
    assert shown["total"] == 0


def test_lists_begin_with_the_latest(client: FlaskClient) -> None:
    days = [datetime(2026, 1, day, tzinfo=UTC) for day in (2, 3, 1)]
    made = {day: factories.AgentExecutionFactory(started_at=day) for day in days}
    shown = client.get("/api/governance/executions").json["items"]
    assert [item["id"] for item in shown] == [
        str(made[day].id) for day in sorted(days, reverse=True)
    ]
