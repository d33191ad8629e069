"""The tables of the governance domain.

The database refuses what makes no sense, so each rule stands here as a constraint with a name:

- An execution has a ``completed_at`` when and only when it has ended, a ``response_summary`` when
  and only when it completed, and an ``error_message`` when and only when it failed.
- Feedback has an ``adjudicated_at`` when and only when it is no longer pending.
- A canvas audit has ``error_details`` only if its result is an error.
- An episode is consolidated into another only if it is consolidated, and never into itself.
- Nothing ends before it starts.

Deleting an agent deletes all that it did. A user who has given feedback or worked on a canvas
cannot be deleted: the account's status says that it is.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.extensions import Base, Timestamp, UuidKey, choice
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

__all__ = [
    "AgentExecution",
    "AgentFeedback",
    "AgentRegistry",
    "AgentStatus",
    "CanvasAction",
    "CanvasAudit",
    "CanvasResult",
    "CanvasType",
    "Episode",
    "EpisodeSegment",
    "EpisodeType",
    "ExecutionStatus",
    "FeedbackStatus",
    "FeedbackType",
    "SegmentType",
    "TriggerSource",
    "User",
    "UserRole",
    "UserStatus",
]


class User(Base):
    """A person who works with agents and judges them."""

    __tablename__ = "users"

    id: Mapped[UuidKey]
    email: Mapped[str] = mapped_column(sa.String(254), unique=True)
    password_hash: Mapped[str] = mapped_column(sa.String(255))
    first_name: Mapped[str] = mapped_column(sa.String(100))
    last_name: Mapped[str] = mapped_column(sa.String(100))
    role: Mapped[UserRole] = mapped_column(choice(UserRole, "role"), default=UserRole.MEMBER)
    status: Mapped[UserStatus] = mapped_column(
        choice(UserStatus, "status"), default=UserStatus.PENDING
    )
    phone: Mapped[str | None] = mapped_column(sa.String(50))
    avatar_url: Mapped[str | None] = mapped_column(sa.String(2048))
    created_at: Mapped[Timestamp]

    feedback: Mapped[list[AgentFeedback]] = relationship(
        back_populates="user", passive_deletes="all"
    )
    canvas_audits: Mapped[list[CanvasAudit]] = relationship(
        back_populates="user", passive_deletes="all"
    )


class AgentRegistry(Base):
    """An agent of the fleet: what it is, what it can do, how far it is trusted."""

    __tablename__ = "agent_registry"
    __table_args__ = (
        sa.CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence_range"),
        sa.CheckConstraint("jsonb_typeof(capabilities) = 'array'", name="capabilities_is_list"),
    )

    id: Mapped[UuidKey]
    name: Mapped[str] = mapped_column(sa.String(200))
    category: Mapped[str] = mapped_column(sa.String(100))
    module_path: Mapped[str] = mapped_column(sa.String(255))
    class_name: Mapped[str] = mapped_column(sa.String(255))
    status: Mapped[AgentStatus] = mapped_column(
        choice(AgentStatus, "status"), default=AgentStatus.STUDENT
    )
    confidence: Mapped[float] = mapped_column(default=0.0)
    capabilities: Mapped[list[str]] = mapped_column(default=list)
    description: Mapped[str | None]
    version: Mapped[str] = mapped_column(sa.String(50), default="1.0.0")
    created_at: Mapped[Timestamp]

    executions: Mapped[list[AgentExecution]] = relationship(
        back_populates="agent", cascade="all, delete-orphan", passive_deletes=True
    )
    feedback: Mapped[list[AgentFeedback]] = relationship(
        back_populates="agent", cascade="all, delete-orphan", passive_deletes=True
    )
    episodes: Mapped[list[Episode]] = relationship(
        back_populates="agent", cascade="all, delete-orphan", passive_deletes=True
    )
    canvas_audits: Mapped[list[CanvasAudit]] = relationship(
        back_populates="agent", cascade="all, delete-orphan", passive_deletes=True
    )


class AgentExecution(Base):
    """One request that an agent works on."""

    __tablename__ = "agent_executions"
    __table_args__ = (
        sa.CheckConstraint(
            "(status IN ('completed', 'failed', 'cancelled', 'timeout'))"
            " = (completed_at IS NOT NULL)",
            name="completed_at_when_ended",
        ),
        sa.CheckConstraint("completed_at >= started_at", name="completed_at_after_start"),
        sa.CheckConstraint(
            "(status = 'completed') = (response_summary IS NOT NULL)",
            name="response_summary_when_completed",
        ),
        sa.CheckConstraint(
            "(status = 'failed') = (error_message IS NOT NULL)", name="error_message_when_failed"
        ),
        sa.CheckConstraint("tokens_used >= 0", name="tokens_used_range"),
        sa.CheckConstraint("duration_ms >= 0", name="duration_ms_range"),
    )

    id: Mapped[UuidKey]
    agent_id: Mapped[uuid.UUID] = mapped_column(
        sa.ForeignKey("agent_registry.id", ondelete="CASCADE"), index=True
    )
    user_request: Mapped[str]
    status: Mapped[ExecutionStatus] = mapped_column(
        choice(ExecutionStatus, "status"), default=ExecutionStatus.PENDING
    )
    trigger_source: Mapped[TriggerSource] = mapped_column(
        choice(TriggerSource, "trigger_source"), default=TriggerSource.MANUAL
    )
    # Indexed: the latest executions of all agents are what the dashboard shows.
    started_at: Mapped[Timestamp] = mapped_column(index=True)
    completed_at: Mapped[datetime | None]
    response_summary: Mapped[str | None]
    error_message: Mapped[str | None]
    tokens_used: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    duration_ms: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    maturity_at_execution: Mapped[AgentStatus] = mapped_column(
        choice(AgentStatus, "maturity_at_execution")
    )
    supervision_session_id: Mapped[uuid.UUID | None]

    agent: Mapped[AgentRegistry] = relationship(back_populates="executions")
    feedback: Mapped[list[AgentFeedback]] = relationship(
        back_populates="execution", passive_deletes=True
    )


class AgentFeedback(Base):
    """What a person thinks of what an agent did."""

    __tablename__ = "agent_feedback"
    __table_args__ = (
        sa.CheckConstraint("rating BETWEEN 1 AND 5", name="rating_range"),
        sa.CheckConstraint(
            "(status = 'pending') = (adjudicated_at IS NULL)",
            name="adjudicated_at_when_adjudicated",
        ),
        sa.CheckConstraint("adjudicated_at >= created_at", name="adjudicated_at_after_creation"),
    )

    id: Mapped[UuidKey]
    agent_id: Mapped[uuid.UUID] = mapped_column(
        sa.ForeignKey("agent_registry.id", ondelete="CASCADE"), index=True
    )
    execution_id: Mapped[uuid.UUID | None] = mapped_column(
        sa.ForeignKey("agent_executions.id", ondelete="SET NULL"), index=True
    )
    user_id: Mapped[uuid.UUID] = mapped_column(
        sa.ForeignKey("users.id", ondelete="RESTRICT"), index=True
    )
    feedback_type: Mapped[FeedbackType] = mapped_column(choice(FeedbackType, "feedback_type"))
    original_output: Mapped[str]
    user_correction: Mapped[str | None]
    thumbs_up: Mapped[bool | None]
    rating: Mapped[int | None]
    status: Mapped[FeedbackStatus] = mapped_column(
        choice(FeedbackStatus, "status"), default=FeedbackStatus.PENDING
    )
    created_at: Mapped[Timestamp]
    adjudicated_at: Mapped[datetime | None]

    agent: Mapped[AgentRegistry] = relationship(back_populates="feedback")
    execution: Mapped[AgentExecution | None] = relationship(back_populates="feedback")
    user: Mapped[User] = relationship(back_populates="feedback")


class Episode(Base):
    """A stretch of an agent's life that is worth remembering.

    ``ended_at`` is never null: an episode that is still open ends where it starts.
    """

    __tablename__ = "episodes"
    __table_args__ = (
        sa.CheckConstraint("ended_at >= started_at", name="ended_at_after_start"),
        sa.CheckConstraint("intervention_count >= 0", name="intervention_count_range"),
        sa.CheckConstraint(
            "constitutional_score BETWEEN 0 AND 1", name="constitutional_score_range"
        ),
        sa.CheckConstraint("decay_factor BETWEEN 0 AND 1", name="decay_factor_range"),
        sa.CheckConstraint("access_count >= 0", name="access_count_range"),
        sa.CheckConstraint(
            "consolidated_into_id IS NULL OR is_consolidated", name="consolidated_into_another"
        ),
        sa.CheckConstraint("consolidated_into_id <> id", name="not_consolidated_into_itself"),
    )

    id: Mapped[UuidKey]
    agent_id: Mapped[uuid.UUID] = mapped_column(
        sa.ForeignKey("agent_registry.id", ondelete="CASCADE"), index=True
    )
    title: Mapped[str] = mapped_column(sa.String(300))
    summary: Mapped[str]
    episode_type: Mapped[EpisodeType] = mapped_column(choice(EpisodeType, "episode_type"))
    maturity_at_start: Mapped[AgentStatus] = mapped_column(choice(AgentStatus, "maturity_at_start"))
    maturity_at_end: Mapped[AgentStatus] = mapped_column(choice(AgentStatus, "maturity_at_end"))
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    intervention_count: Mapped[int] = mapped_column(default=0)
    constitutional_score: Mapped[float] = mapped_column(default=1.0)
    decay_factor: Mapped[float] = mapped_column(default=1.0)
    last_accessed_at: Mapped[datetime | None]
    access_count: Mapped[int] = mapped_column(default=0)
    is_consolidated: Mapped[bool] = mapped_column(default=False)
    consolidated_into_id: Mapped[uuid.UUID | None] = mapped_column(
        sa.ForeignKey("episodes.id", ondelete="SET NULL"), index=True
    )

    agent: Mapped[AgentRegistry] = relationship(back_populates="episodes")
    segments: Mapped[list[EpisodeSegment]] = relationship(
        back_populates="episode",
        cascade="all, delete-orphan",
        passive_deletes=True,
        order_by="EpisodeSegment.sequence_order",
    )
    consolidated_into: Mapped[Episode | None] = relationship(
        back_populates="consolidated_from", remote_side="Episode.id"
    )
    consolidated_from: Mapped[list[Episode]] = relationship(
        back_populates="consolidated_into", passive_deletes=True
    )


class EpisodeSegment(Base):
    """A part of an episode, in its place."""

    __tablename__ = "episode_segments"
    __table_args__ = (
        # Its index begins with the foreign key, which therefore has none of its own.
        sa.UniqueConstraint("episode_id", "sequence_order"),
        sa.CheckConstraint("sequence_order >= 0", name="sequence_order_range"),
        sa.CheckConstraint("jsonb_typeof(metadata) = 'object'", name="metadata_is_object"),
        sa.CheckConstraint("ended_at >= started_at", name="ended_at_after_start"),
        sa.CheckConstraint("confidence_score BETWEEN 0 AND 1", name="confidence_score_range"),
    )

    id: Mapped[UuidKey]
    episode_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("episodes.id", ondelete="CASCADE"))
    segment_type: Mapped[SegmentType] = mapped_column(choice(SegmentType, "segment_type"))
    sequence_order: Mapped[int]
    content_summary: Mapped[str]
    # `metadata` itself is reserved on a declarative class.
    segment_metadata: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime]
    agent_maturity: Mapped[AgentStatus] = mapped_column(choice(AgentStatus, "agent_maturity"))
    confidence_score: Mapped[float]

    episode: Mapped[Episode] = relationship(back_populates="segments")


class CanvasAudit(Base):
    """What an agent showed a person, and what came of it."""

    __tablename__ = "canvas_audits"
    __table_args__ = (
        sa.CheckConstraint("jsonb_typeof(canvas_data) = 'object'", name="canvas_data_is_object"),
        sa.CheckConstraint("closed_at >= presented_at", name="closed_at_after_presentation"),
        sa.CheckConstraint(
            "error_details IS NULL OR result_status = 'error'", name="error_details_of_error"
        ),
    )

    id: Mapped[UuidKey]
    agent_id: Mapped[uuid.UUID] = mapped_column(
        sa.ForeignKey("agent_registry.id", ondelete="CASCADE"), index=True
    )
    user_id: Mapped[uuid.UUID] = mapped_column(
        sa.ForeignKey("users.id", ondelete="RESTRICT"), index=True
    )
    canvas_type: Mapped[CanvasType] = mapped_column(choice(CanvasType, "canvas_type"))
    action: Mapped[CanvasAction] = mapped_column(choice(CanvasAction, "action"))
    canvas_data: Mapped[dict[str, Any]]
    interaction_summary: Mapped[str]
    presented_at: Mapped[datetime]
    closed_at: Mapped[datetime]
    result_status: Mapped[CanvasResult] = mapped_column(choice(CanvasResult, "result_status"))
    error_details: Mapped[str | None]

    agent: Mapped[AgentRegistry] = relationship(back_populates="canvas_audits")
    user: Mapped[User] = relationship(back_populates="canvas_audits")
