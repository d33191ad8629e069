"""The collections of the application's interface, for the tests of what all of them do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

import factories
from app.api import Listing
from app.governance import schemas as governance
from app.workspace import schemas as workspace
from factories import workspace as workspace_factories

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
START, END = "2026-01-02T03:04:05Z", "2026-01-02T04:04:05Z"
ABSENT_KEY = "00000000-0000-4000-8000-000000000000"

TEXT = ["", 7, "nul \0", None]
LONG = [*TEXT, "x" * 50_001]
OPTIONAL = ["", 7, "nul \0"]
CHOICE = ["nonsense", "", 7, None]
UUID_KEY = ["nonsense", 7, None, ABSENT_KEY]
INT_KEY = ["nonsense", "1", 0, -1, 1.0, True, None, 2**31, 2**63, 10**30]
SHARE = [-0.01, 1.01, "0.5", None, 10**400]
MOMENTS = ["nonsense", 7, None, "2026-01-02", "2026-01-02T03:04:05", "0001-01-01T00:00:00+14:00"]


@dataclass(frozen=True)
class Resource:
    """One collection of the interface.

    ``body`` makes a request that creates a member, ``bad`` gives for each of its fields the values
    that it must refuse, ``ties`` makes members that only their keys tell apart.
    """

    url: str
    factory: Callable[..., Any]
    schema: type[BaseModel]
    listing: type[Listing]
    body: Callable[[], dict[str, Any]]
    bad: dict[str, list[Any]]
    ties: dict[str, Any] = field(default_factory=dict)
    newest_key_first: bool = False

    def create(self, count: int) -> list[Any]:
        """Members that only their keys tell apart, in the order of a list."""
        made = [self.factory(**self.ties) for _ in range(count)]
        return sorted(made, key=lambda row: row.id, reverse=self.newest_key_first)


def without_none(values: list[Any]) -> list[Any]:
    """Of bad values those that an optional field must refuse as well."""
    return [value for value in values if value is not None]


def segment(**values: Any) -> dict[str, Any]:
    """A segment of an episode, as a request gives it."""
    return {
        "segment_type": "task",
        "content_summary": "Sorted the mail",
        "metadata": {"tokens": 12},
        "started_at": START,
        "ended_at": END,
        "agent_maturity": "intern",
        "confidence_score": 0.5,
        **values,
    }


def key_of(factory: Callable[..., Any], **values: Any) -> Any:
    """The key of a new row, as a request gives it."""
    key = factory(**values).id
    return key if isinstance(key, int) else str(key)


RESOURCES = [
    Resource(
        url="/api/governance/users",
        factory=factories.UserFactory,
        schema=governance.NewUser,
        listing=governance.UserListing,
        body=lambda: {
            "email": "ada@example.com",
            "password": "correct horse battery",
            "first_name": "Ada",
            "last_name": "Lovelace",
            "role": "admin",
            "status": "active",
            "phone": "+44 20 7946 0000",
            "avatar_url": "https://example.com/ada.png",
        },
        bad={
            "email": [*TEXT, "no at", "a@b", f"{'x' * 250}@example.com"],
            "password": [*TEXT, "too short", "x" * 201],
            "first_name": [*TEXT, " ", "x" * 101],
            "last_name": [*TEXT, " ", "x" * 101],
            "role": CHOICE,
            "status": CHOICE,
            "phone": [*OPTIONAL, "1" * 51],
            "avatar_url": [*OPTIONAL, "javascript:alert(1)", f"https://{'x' * 2048}"],
        },
        ties={"created_at": MOMENT},
    ),
    Resource(
        url="/api/governance/agents",
        factory=factories.AgentFactory,
        schema=governance.NewAgent,
        listing=governance.AgentListing,
        body=lambda: {
            "name": "Mail sorter",
            "category": "operations",
            "module_path": "agents.mail",
            "class_name": "MailSorter",
            "status": "intern",
            "confidence": 0.6,
            "capabilities": ["read", "sort"],
            "description": "Sorts mail.",
            "version": "2.1.0",
        },
        bad={
            "name": [*TEXT, "x" * 201],
            "category": [*TEXT, "x" * 101],
            "module_path": [*TEXT, "x" * 256],
            "class_name": [*TEXT, "x" * 256],
            "status": CHOICE,
            "confidence": SHARE,
            "capabilities": [None, "read", {}, ["x"] * 201],
            "description": [*OPTIONAL, "x" * 50_001],
            "version": [*TEXT, "x" * 51],
        },
        ties={"name": "Twin"},
    ),
    Resource(
        url="/api/governance/executions",
        factory=factories.AgentExecutionFactory,
        schema=governance.NewExecution,
        listing=governance.ExecutionListing,
        body=lambda: {
            "agent_id": key_of(factories.AgentFactory),
            "user_request": "Sort my mail",
            "trigger_source": "webhook",
            "supervision_session_id": ABSENT_KEY,
        },
        bad={
            "agent_id": UUID_KEY,
            "user_request": LONG,
            "trigger_source": CHOICE,
            "supervision_session_id": ["nonsense", 7],
        },
        ties={"started_at": MOMENT},
    ),
    Resource(
        url="/api/governance/feedback",
        factory=factories.AgentFeedbackFactory,
        schema=governance.NewFeedback,
        listing=governance.FeedbackListing,
        body=lambda: {
            "agent_id": key_of(factories.AgentFactory),
            "user_id": key_of(factories.UserFactory),
            "feedback_type": "rating",
            "original_output": "Sorted",
            "user_correction": "Sort by date",
            "thumbs_up": False,
            "rating": 2,
        },
        bad={
            "agent_id": UUID_KEY,
            "execution_id": without_none(UUID_KEY),
            "user_id": UUID_KEY,
            "feedback_type": CHOICE,
            "original_output": LONG,
            "user_correction": [*OPTIONAL, "x" * 50_001],
            "thumbs_up": ["yes", 1],
            "rating": [0, 6, "5", 4.5, 2**31, 2**63, True],
        },
        ties={"created_at": MOMENT, "execution": None},
    ),
    Resource(
        url="/api/governance/episodes",
        factory=factories.EpisodeFactory,
        schema=governance.NewEpisode,
        listing=governance.EpisodeListing,
        body=lambda: {
            "agent_id": key_of(factories.AgentFactory),
            "title": "A morning's mail",
            "summary": "All of it sorted",
            "episode_type": "training",
            "maturity_at_start": "student",
            "maturity_at_end": "intern",
            "started_at": START,
            "ended_at": END,
            "intervention_count": 2,
            "constitutional_score": 0.9,
            "decay_factor": 0.8,
            "consolidated_into_id": key_of(factories.EpisodeFactory),
            "segments": [segment(), segment(segment_type="outcome")],
        },
        bad={
            "agent_id": UUID_KEY,
            "title": [*TEXT, "x" * 301],
            "summary": LONG,
            "episode_type": CHOICE,
            "maturity_at_start": CHOICE,
            "maturity_at_end": without_none(CHOICE),
            "started_at": MOMENTS,
            "ended_at": [*without_none(MOMENTS), "2026-01-02T03:04:04Z"],
            "intervention_count": [-1, "1", 0.5, None, 2**31, 2**63, 10**30],
            "constitutional_score": SHARE,
            "decay_factor": SHARE,
            "consolidated_into_id": without_none(UUID_KEY),
            "segments": [None, {}, "nonsense"],
        },
        ties={"started_at": MOMENT},
    ),
    Resource(
        url="/api/governance/canvas-audits",
        factory=factories.CanvasAuditFactory,
        schema=governance.NewCanvasAudit,
        listing=governance.CanvasListing,
        body=lambda: {
            "agent_id": key_of(factories.AgentFactory),
            "user_id": key_of(factories.UserFactory),
            "canvas_type": "sheets",
            "action": "submit",
            "canvas_data": {"title": "Budget", "components": [{"type": "table", "rows": 3}]},
            "interaction_summary": "Filled in",
            "presented_at": START,
            "closed_at": END,
            "result_status": "error",
            "error_details": "Not saved",
        },
        bad={
            "agent_id": UUID_KEY,
            "user_id": UUID_KEY,
            "canvas_type": CHOICE,
            "action": CHOICE,
            "canvas_data": [None, [], "nonsense"],
            "interaction_summary": LONG,
            "presented_at": MOMENTS,
            "closed_at": [*MOMENTS, "2026-01-02T03:04:04Z"],
            "result_status": CHOICE,
            "error_details": [*OPTIONAL, "x" * 50_001],
        },
        ties={"presented_at": MOMENT},
    ),
    Resource(
        url="/api/workspace/projects",
        factory=factories.ProjectFactory,
        schema=workspace.NewProject,
        listing=workspace.ProjectListing,
        body=lambda: {
            "name": "Mail",
            "slug": "mail-2",
            "path": "/srv/mail",
            "github_repo": "example/mail",
            "current_branch": "main",
            "description": "All about mail",
        },
        bad={
            "name": [*TEXT, "x" * 201],
            "slug": [*TEXT, "Mail", "mail_2", "mail-", "x" * 201],
            "path": [*TEXT, "x" * 1025],
            "github_repo": [*OPTIONAL, "x" * 256],
            "current_branch": [*OPTIONAL, "x" * 256],
            "description": [*OPTIONAL, "x" * 50_001],
        },
        ties={"name": "Twin"},
    ),
    Resource(
        url="/api/workspace/agents",
        factory=workspace_factories.AgentFactory,
        schema=workspace.NewAgent,
        listing=workspace.AgentListing,
        body=lambda: {
            "project_id": key_of(factories.ProjectFactory),
            "registry_id": key_of(factories.AgentFactory),
            "session_uuid": ABSENT_KEY,
            "priority_score": 70,
            "priority_reason": "A customer waits for it",
        },
        bad={
            "project_id": INT_KEY,
            "registry_id": without_none(UUID_KEY),
            "session_uuid": ["nonsense", 7],
            "priority_score": [-1, 101, "50", 50.5, 2**31, 2**63],
            "priority_reason": [*OPTIONAL, None, "x" * 50_001],
        },
        ties={"started_at": MOMENT},
        newest_key_first=True,
    ),
    Resource(
        url="/api/workspace/commands",
        factory=factories.CommandFactory,
        schema=workspace.NewCommand,
        listing=workspace.CommandListing,
        body=lambda: {
            "agent_id": key_of(workspace_factories.AgentFactory),
            "instruction": "Sort my mail",
        },
        bad={"agent_id": INT_KEY, "instruction": [*OPTIONAL, "x" * 50_001]},
        ties={"started_at": MOMENT},
        newest_key_first=True,
    ),
    Resource(
        url="/api/workspace/turns",
        factory=factories.TurnFactory,
        schema=workspace.NewTurn,
        listing=workspace.TurnListing,
        body=lambda: {
            "command_id": key_of(factories.CommandFactory),
            "actor": "agent",
            "intent": "question",
            "text": "By date?",
        },
        bad={
            "command_id": INT_KEY,
            "actor": CHOICE,
            "intent": CHOICE,
            "text": LONG,
            "answers_turn_id": without_none(INT_KEY),
        },
        ties={"timestamp": MOMENT},
    ),
    Resource(
        url="/api/workspace/events",
        factory=factories.EventFactory,
        schema=workspace.NewEvent,
        listing=workspace.EventListing,
        body=lambda: {
            "event_type": "mail.sorted",
            "payload": {"count": 12, "folders": ["in", {"deep": [1.5, None, True]}]},
            "project_id": key_of(factories.ProjectFactory),
            "agent_id": key_of(workspace_factories.AgentFactory),
            "command_id": key_of(factories.CommandFactory),
            "turn_id": key_of(factories.TurnFactory),
        },
        bad={
            "event_type": [*TEXT, "x" * 101],
            "payload": [[], "nonsense", {"nul \0": 1}, {"a": ["nul \0"]}],
            "project_id": without_none(INT_KEY),
            "agent_id": without_none(INT_KEY),
            "command_id": without_none(INT_KEY),
            "turn_id": without_none(INT_KEY),
        },
        ties={"timestamp": MOMENT},
        newest_key_first=True,
    ),
    Resource(
        url="/api/workspace/objectives",
        factory=factories.ObjectiveFactory,
        schema=workspace.ObjectiveText,
        listing=workspace.ObjectiveListing,
        body=lambda: {
            "text": "An empty inbox",
            "constraints": "Delete nothing",
            "priority_enabled": False,
        },
        bad={
            "text": LONG,
            "constraints": [*OPTIONAL, "x" * 50_001],
            "priority_enabled": [None, "yes", 1],
        },
        ties={"set_at": MOMENT},
        newest_key_first=True,
    ),
]
