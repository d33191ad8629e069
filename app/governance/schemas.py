"""What the governance interface reads and shows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, JsonValue, SecretStr, StringConstraints, ValidationInfo, field_validator

from app.api import Listing
from app.api.fields import (
    Count,
    JsonObject,
    LargeCount,
    Line,
    Moment,
    Payload,
    Prose,
    Share,
    fault,
    not_before,
    references,
)
from app.api.listing import Search
from app.api.messages import Instant, View
from app.governance.enums import (
    AgentStatus,
    CanvasAction,
    CanvasResult,
    CanvasType,
    EpisodeType,
    ExecutionStatus,
    FeedbackStatus,
    FeedbackType,
    SegmentType,
    TriggerSource,
    UserRole,
    UserStatus,
)

UserId = Annotated[UUID, references("users")]
AgentId = Annotated[UUID, references("agent_registry")]
ExecutionId = Annotated[UUID, references("agent_executions")]
EpisodeId = Annotated[UUID, references("episodes")]

Email = Annotated[
    Line, StringConstraints(to_lower=True, max_length=254, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
]
WebAddress = Annotated[Line, StringConstraints(max_length=2048, pattern=r"^https?://\S+$")]
Password = Annotated[SecretStr, Field(min_length=12, max_length=200)]


# Users


class UserListing(Listing):
    role: UserRole | None = None
    status: UserStatus | None = None
    q: Search | None = None


class NewUser(Payload):
    email: Email
    password: Password
    first_name: Line = Field(max_length=100)
    last_name: Line = Field(max_length=100)
    role: UserRole = UserRole.MEMBER
    status: UserStatus = UserStatus.PENDING
    phone: Line | None = Field(None, max_length=50)
    avatar_url: WebAddress | None = None


class UserSummary(View):
    id: UUID
    first_name: str
    last_name: str


class UserView(UserSummary):
    email: str
    role: UserRole
    status: UserStatus
    phone: str | None
    avatar_url: str | None
    created_at: Instant


# Agents


class AgentListing(Listing):
    status: AgentStatus | None = None
    category: Search | None = None
    q: Search | None = None


class NewAgent(Payload):
    name: Line = Field(max_length=200)
    category: Line = Field(max_length=100)
    module_path: Line = Field(max_length=255)
    class_name: Line = Field(max_length=255)
    status: AgentStatus = AgentStatus.STUDENT
    confidence: Share = 0.0
    capabilities: list[Annotated[Line, Field(max_length=200)]] = Field([], max_length=200)
    description: Prose | None = None
    version: Line = Field("1.0.0", max_length=50)


class AgentSummary(View):
    id: UUID
    name: str
    status: AgentStatus


class AgentView(AgentSummary):
    category: str
    module_path: str
    class_name: str
    confidence: float
    capabilities: list[str]
    description: str | None
    version: str
    created_at: Instant


# Executions


class ExecutionListing(Listing):
    agent_id: UUID | None = None
    status: ExecutionStatus | None = None
    trigger_source: TriggerSource | None = None


class NewExecution(Payload):
    agent_id: AgentId
    user_request: Prose
    trigger_source: TriggerSource = TriggerSource.API
    supervision_session_id: UUID | None = None


class Finish(Payload):
    response_summary: Prose
    tokens_used: LargeCount = 0


class Failure(Payload):
    error_message: Prose
    tokens_used: LargeCount = 0


class ExecutionView(View):
    id: UUID
    agent: AgentSummary
    user_request: str
    status: ExecutionStatus
    trigger_source: TriggerSource
    started_at: Instant
    completed_at: Instant | None
    response_summary: str | None
    error_message: str | None
    tokens_used: int
    duration_ms: int
    maturity_at_execution: AgentStatus
    supervision_session_id: UUID | None


# Feedback


class FeedbackListing(Listing):
    agent_id: UUID | None = None
    execution_id: UUID | None = None
    user_id: UUID | None = None
    feedback_type: FeedbackType | None = None
    status: FeedbackStatus | None = None


# What feedback of a kind is for, and what it therefore cannot do without.
POINTS: Mapping[str, FeedbackType] = {
    "user_correction": FeedbackType.CORRECTION,
    "thumbs_up": FeedbackType.APPROVAL,
    "rating": FeedbackType.RATING,
}


class NewFeedback(Payload):
    agent_id: AgentId
    execution_id: ExecutionId | None = None
    user_id: UserId
    feedback_type: FeedbackType
    original_output: Prose
    user_correction: Prose | None = Field(None, validate_default=True)
    thumbs_up: bool | None = Field(None, validate_default=True)
    rating: int | None = Field(None, ge=1, le=5, validate_default=True)

    @field_validator("user_correction", "thumbs_up", "rating")
    @classmethod
    def _given_when_it_is_the_point(
        cls, value: str | bool | int | None, info: ValidationInfo
    ) -> str | bool | int | None:
        kind = POINTS[str(info.field_name)]
        if value is None and info.data.get("feedback_type") is kind:
            raise fault("missing_point", f"Needed when feedback_type is {kind}")
        return value


class Adjudication(Payload):
    status: Literal[FeedbackStatus.ACCEPTED, FeedbackStatus.REJECTED]


class FeedbackView(View):
    id: UUID
    agent: AgentSummary
    execution_id: UUID | None
    user: UserSummary
    feedback_type: FeedbackType
    original_output: str
    user_correction: str | None
    thumbs_up: bool | None
    rating: int | None
    status: FeedbackStatus
    created_at: Instant
    adjudicated_at: Instant | None


# Episodes


class EpisodeListing(Listing):
    agent_id: UUID | None = None
    episode_type: EpisodeType | None = None
    is_consolidated: bool | None = None


class NewSegment(Payload):
    segment_type: SegmentType
    content_summary: Prose
    metadata: JsonObject = Field({})
    started_at: Moment
    ended_at: Moment
    agent_maturity: AgentStatus
    confidence_score: Share

    @field_validator("ended_at")
    @classmethod
    def _ends_after_start(cls, end: datetime, info: ValidationInfo) -> datetime:
        return not_before(end, info.data.get("started_at"), "started_at")


class NewEpisode(Payload):
    """An episode without ``ended_at`` is open, and is closed later."""

    agent_id: AgentId
    title: Line = Field(max_length=300)
    summary: Prose
    episode_type: EpisodeType
    maturity_at_start: AgentStatus
    maturity_at_end: AgentStatus | None = None
    started_at: Moment
    ended_at: Moment | None = None
    intervention_count: Count = 0
    constitutional_score: Share = 1.0
    decay_factor: Share = 1.0
    consolidated_into_id: EpisodeId | None = None
    segments: list[NewSegment] = Field([], max_length=500)

    @field_validator("ended_at")
    @classmethod
    def _ends_after_start(cls, end: datetime | None, info: ValidationInfo) -> datetime | None:
        return end and not_before(end, info.data.get("started_at"), "started_at")


class Closing(Payload):
    """What is known only at the end of an episode; what is not given stays as it is."""

    ended_at: Moment | None = None
    summary: Prose | None = None
    maturity_at_end: AgentStatus | None = None
    intervention_count: Count | None = None
    constitutional_score: Share | None = None


class SegmentView(View):
    id: UUID
    segment_type: SegmentType
    sequence_order: int
    content_summary: str
    metadata: dict[str, JsonValue] = Field(validation_alias="segment_metadata")
    started_at: Instant
    ended_at: Instant
    agent_maturity: AgentStatus
    confidence_score: float


class EpisodeView(View):
    id: UUID
    agent: AgentSummary
    title: str
    summary: str
    episode_type: EpisodeType
    maturity_at_start: AgentStatus
    maturity_at_end: AgentStatus
    started_at: Instant
    ended_at: Instant
    intervention_count: int
    constitutional_score: float
    decay_factor: float
    last_accessed_at: Instant | None
    access_count: int
    is_consolidated: bool
    consolidated_into_id: UUID | None


class EpisodeDetail(EpisodeView):
    segments: list[SegmentView]


# Canvas audits


class CanvasListing(Listing):
    agent_id: UUID | None = None
    user_id: UUID | None = None
    canvas_type: CanvasType | None = None
    action: CanvasAction | None = None
    result_status: CanvasResult | None = None


class CanvasData(Payload):
    title: Line = Field(max_length=300)
    components: list[JsonObject] = Field([], max_length=500)


class NewCanvasAudit(Payload):
    agent_id: AgentId
    user_id: UserId
    canvas_type: CanvasType
    action: CanvasAction
    canvas_data: CanvasData
    interaction_summary: Prose
    presented_at: Moment
    closed_at: Moment
    result_status: CanvasResult
    error_details: Prose | None = None

    @field_validator("closed_at")
    @classmethod
    def _closes_after_presentation(cls, end: datetime, info: ValidationInfo) -> datetime:
        return not_before(end, info.data.get("presented_at"), "presented_at")

    @field_validator("error_details")
    @classmethod
    def _of_an_error(cls, details: str | None, info: ValidationInfo) -> str | None:
        result = info.data.get("result_status", CanvasResult.ERROR)
        if details is not None and result is not CanvasResult.ERROR:
            raise fault("details_without_error", "Only when result_status is error")
        return details


class CanvasView(View):
    id: UUID
    agent: AgentSummary
    user: UserSummary
    canvas_type: CanvasType
    action: CanvasAction
    canvas_data: dict[str, JsonValue]
    interaction_summary: str
    presented_at: Instant
    closed_at: Instant
    result_status: CanvasResult
    error_details: str | None
