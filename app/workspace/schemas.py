"""What the workspace interface reads and shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from pydantic import Field, JsonValue, StringConstraints, ValidationInfo, field_validator

from app.api import Listing
from app.api.fields import JsonObject, Key, Line, Payload, Prose, fault, references
from app.api.listing import Search
from app.api.messages import Instant, View
from app.workspace.enums import CommandState, TurnActor, TurnIntent

ProjectId = Annotated[Key, references("projects")]
AgentId = Annotated[Key, references("agents")]
CommandId = Annotated[Key, references("commands")]
TurnId = Annotated[Key, references("turns")]
RegistryId = Annotated[UUID, references("agent_registry")]

Slug = Annotated[Line, StringConstraints(max_length=200, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]


# Projects


class ProjectListing(Listing):
    q: Search | None = None


class NewProject(Payload):
    name: Line = Field(max_length=200)
    slug: Slug
    path: Line = Field(max_length=1024)
    github_repo: Line | None = Field(None, max_length=255)
    current_branch: Line | None = Field(None, max_length=255)
    description: Prose | None = None


class ProjectSummary(View):
    id: int
    name: str
    slug: str


class ProjectView(ProjectSummary):
    path: str
    github_repo: str | None
    current_branch: str | None
    description: str | None
    created_at: Instant


# Agents: live sessions


class AgentListing(Listing):
    project_id: Key | None = None
    registry_id: UUID | None = None
    state: CommandState | None = None
    live: bool | None = None


class NewAgent(Payload):
    project_id: ProjectId
    registry_id: RegistryId | None = None
    session_uuid: UUID | None = None
    priority_score: int | None = Field(None, ge=0, le=100)
    priority_reason: Prose | None = Field(None, validate_default=True)

    @field_validator("priority_reason")
    @classmethod
    def _with_a_score(cls, reason: str | None, info: ValidationInfo) -> str | None:
        if "priority_score" not in info.data:  # It has a fault of its own.
            return reason
        if (reason is None) != (info.data["priority_score"] is None):
            raise fault("priority", "Goes together with priority_score: give both or neither")
        return reason


class AgentView(View):
    id: int
    session_uuid: UUID
    project: ProjectSummary
    registry_id: UUID | None
    state: CommandState
    started_at: Instant
    last_seen_at: Instant
    ended_at: Instant | None
    priority_score: int | None
    priority_reason: str | None


# Commands


class CommandListing(Listing):
    agent_id: Key | None = None
    state: CommandState | None = None


class NewCommand(Payload):
    agent_id: AgentId
    instruction: Prose | None = None


# The only state into which a move can bring this text.
PLACES: Mapping[str, CommandState] = {
    "instruction": CommandState.COMMANDED,
    "completion_summary": CommandState.COMPLETE,
}


class Move(Payload):
    state: CommandState
    instruction: Prose | None = None
    completion_summary: Prose | None = None

    @field_validator("instruction", "completion_summary")
    @classmethod
    def _in_its_state(cls, text: str | None, info: ValidationInfo) -> str | None:
        place = PLACES[str(info.field_name)]
        if text is not None and info.data.get("state", place) is not place:
            raise fault("out_of_place", f"Only when state is {place}")
        return text


class CommandView(View):
    id: int
    agent_id: int
    state: CommandState
    instruction: str | None
    started_at: Instant
    completed_at: Instant | None
    completion_summary: str | None


# Turns


class TurnListing(Listing):
    command_id: Key | None = None
    actor: TurnActor | None = None
    intent: TurnIntent | None = None


class NewTurn(Payload):
    """``answers_turn_id`` is a question of the same command, which this turn answers."""

    command_id: CommandId
    actor: TurnActor
    intent: TurnIntent
    text: Prose
    answers_turn_id: TurnId | None = None


class TurnView(View):
    id: int
    command_id: int
    actor: TurnActor
    intent: TurnIntent
    text: str
    timestamp: Instant
    answered_by_turn_id: int | None


class CommandDetail(CommandView):
    turns: list[TurnView]


# Events


class EventListing(Listing):
    event_type: Search | None = None
    project_id: Key | None = None
    agent_id: Key | None = None
    command_id: Key | None = None
    turn_id: Key | None = None


class NewEvent(Payload):
    event_type: Line = Field(max_length=100)
    payload: JsonObject | None = None
    project_id: ProjectId | None = None
    agent_id: AgentId | None = None
    command_id: CommandId | None = None
    turn_id: TurnId | None = None


class EventView(View):
    id: int
    timestamp: Instant
    event_type: str
    payload: dict[str, JsonValue] | None
    project_id: int | None
    agent_id: int | None
    command_id: int | None
    turn_id: int | None


# Objectives


class ObjectiveListing(Listing):
    priority_enabled: bool | None = None


class ObjectiveText(Payload):
    """What an objective says, when it is made and whenever it is set anew."""

    text: Prose
    constraints: Prose | None = None
    priority_enabled: bool = True


class ObjectiveView(View):
    id: int
    current_text: str
    constraints: str | None
    priority_enabled: bool
    set_at: Instant


class ObjectiveHistoryView(View):
    id: int
    text: str
    constraints: str | None
    started_at: Instant
    ended_at: Instant | None


class ObjectiveDetail(ObjectiveView):
    history: list[ObjectiveHistoryView]
