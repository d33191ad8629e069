"""The tables of the workspace domain.

The database refuses what makes no sense, so each rule stands here as a constraint with a name:

- A command has a ``completed_at`` when and only when it is complete, and a
  ``completion_summary`` only then.
- A session has a ``priority_score`` and a ``priority_reason``, or neither.
- No turn answers itself; nothing ends, and nobody is last seen, before the start.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, column_property, mapped_column, relationship

from app.extensions import Base, Timestamp, choice
from app.workspace.enums import CommandState, TurnActor, TurnIntent

__all__ = [
    "Agent",
    "Command",
    "CommandState",
    "Event",
    "Objective",
    "ObjectiveHistory",
    "Project",
    "Turn",
    "TurnActor",
    "TurnIntent",
]


class Project(Base):
    """A code base that agents work on."""

    __tablename__ = "projects"

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(200))
    slug: Mapped[str] = mapped_column(sa.String(200), unique=True)
    path: Mapped[str] = mapped_column(sa.String(1024), unique=True)
    github_repo: Mapped[str | None] = mapped_column(sa.String(255))
    current_branch: Mapped[str | None] = mapped_column(sa.String(255))
    description: Mapped[str | None]
    created_at: Mapped[Timestamp]

    agents: Mapped[list[Agent]] = relationship(
        back_populates="project", cascade="all, delete-orphan", passive_deletes=True
    )
    events: Mapped[list[Event]] = relationship(back_populates="project", passive_deletes=True)


class Command(Base):
    """What a person asks of an agent, from the asking to the end."""

    __tablename__ = "commands"
    __table_args__ = (
        sa.CheckConstraint(
            "(state = 'complete') = (completed_at IS NOT NULL)", name="completed_at_when_complete"
        ),
        sa.CheckConstraint("completed_at >= started_at", name="completed_at_after_start"),
        sa.CheckConstraint(
            "completion_summary IS NULL OR state = 'complete'",
            name="completion_summary_of_complete",
        ),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
    agent_id: Mapped[int] = mapped_column(
        sa.ForeignKey("agents.id", ondelete="CASCADE"), index=True
    )
    state: Mapped[CommandState] = mapped_column(
        choice(CommandState, "state"), default=CommandState.IDLE
    )
    instruction: Mapped[str | None]
    started_at: Mapped[Timestamp]
    completed_at: Mapped[datetime | None]
    completion_summary: Mapped[str | None]

    agent: Mapped[Agent] = relationship(back_populates="commands")
    turns: Mapped[list[Turn]] = relationship(
        back_populates="command",
        cascade="all, delete-orphan",
        passive_deletes=True,
        order_by="Turn.id",
    )
    events: Mapped[list[Event]] = relationship(back_populates="command", passive_deletes=True)


class Agent(Base):
    """A live coding session of an agent in a project."""

    __tablename__ = "agents"
    __table_args__ = (
        sa.CheckConstraint("last_seen_at >= started_at", name="last_seen_at_after_start"),
        sa.CheckConstraint("ended_at >= started_at", name="ended_at_after_start"),
        sa.CheckConstraint("priority_score BETWEEN 0 AND 100", name="priority_score_range"),
        sa.CheckConstraint(
            "(priority_score IS NULL) = (priority_reason IS NULL)", name="priority_with_reason"
        ),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
    session_uuid: Mapped[uuid.UUID] = mapped_column(default=uuid.uuid4, unique=True, index=True)
    project_id: Mapped[int] = mapped_column(
        sa.ForeignKey("projects.id", ondelete="CASCADE"), index=True
    )
    # The key crosses into the governance domain, which this one never imports.
    registry_id: Mapped[uuid.UUID | None] = mapped_column(
        sa.ForeignKey("agent_registry.id", ondelete="SET NULL"), index=True
    )
    started_at: Mapped[Timestamp]
    last_seen_at: Mapped[Timestamp]
    ended_at: Mapped[datetime | None]
    priority_score: Mapped[int | None]
    priority_reason: Mapped[str | None]

    # Part of each SELECT of a session, so that a list of them needs no further query.
    state: Mapped[CommandState] = column_property(
        sa.func.coalesce(
            sa.select(Command.state)
            .where(Command.agent_id == id, Command.state != CommandState.COMPLETE)
            .order_by(Command.started_at.desc(), Command.id.desc())
            .limit(1)
            .correlate_except(Command)
            .scalar_subquery(),
            CommandState.IDLE,
        ),
        doc="That of the newest command that is not complete, else idle.",
    )

    project: Mapped[Project] = relationship(back_populates="agents")
    commands: Mapped[list[Command]] = relationship(
        back_populates="agent",
        cascade="all, delete-orphan",
        passive_deletes=True,
        order_by="Command.id",
    )
    events: Mapped[list[Event]] = relationship(back_populates="agent", passive_deletes=True)


class Turn(Base):
    """One utterance in the conversation about a command."""

    __tablename__ = "turns"
    __table_args__ = (
        sa.CheckConstraint("answered_by_turn_id <> id", name="not_answered_by_itself"),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
    command_id: Mapped[int] = mapped_column(
        sa.ForeignKey("commands.id", ondelete="CASCADE"), index=True
    )
    actor: Mapped[TurnActor] = mapped_column(choice(TurnActor, "actor"))
    intent: Mapped[TurnIntent] = mapped_column(choice(TurnIntent, "intent"))
    text: Mapped[str]
    timestamp: Mapped[Timestamp]
    answered_by_turn_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("turns.id", ondelete="SET NULL"), index=True
    )

    command: Mapped[Command] = relationship(back_populates="turns")
    answered_by: Mapped[Turn | None] = relationship(back_populates="answers", remote_side="Turn.id")
    answers: Mapped[list[Turn]] = relationship(back_populates="answered_by", passive_deletes=True)
    events: Mapped[list[Event]] = relationship(back_populates="turn", passive_deletes=True)


class Event(Base):
    """An entry of the audit trail, which outlives what it speaks of."""

    __tablename__ = "events"
    __table_args__ = (
        sa.CheckConstraint("jsonb_typeof(payload) = 'object'", name="payload_is_object"),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
    timestamp: Mapped[Timestamp]
    event_type: Mapped[str] = mapped_column(sa.String(100))
    payload: Mapped[dict[str, Any] | None]
    project_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("projects.id", ondelete="SET NULL"), index=True
    )
    agent_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("agents.id", ondelete="SET NULL"), index=True
    )
    command_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("commands.id", ondelete="SET NULL"), index=True
    )
    turn_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("turns.id", ondelete="SET NULL"), index=True
    )

    project: Mapped[Project | None] = relationship(back_populates="events")
    agent: Mapped[Agent | None] = relationship(back_populates="events")
    command: Mapped[Command | None] = relationship(back_populates="events")
    turn: Mapped[Turn | None] = relationship(back_populates="events")


class Objective(Base):
    """What all work is measured against at present."""

    __tablename__ = "objectives"

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
    current_text: Mapped[str]
    constraints: Mapped[str | None]
    priority_enabled: Mapped[bool] = mapped_column(default=True)
    set_at: Mapped[Timestamp]

    history: Mapped[list[ObjectiveHistory]] = relationship(
        back_populates="objective",
        cascade="all, delete-orphan",
        passive_deletes=True,
        order_by="ObjectiveHistory.id",
    )


class ObjectiveHistory(Base):
    """A text that an objective has or had, and for how long."""

    __tablename__ = "objective_histories"
    __table_args__ = (sa.CheckConstraint("ended_at >= started_at", name="ended_at_after_start"),)

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
    objective_id: Mapped[int] = mapped_column(
        sa.ForeignKey("objectives.id", ondelete="CASCADE"), index=True
    )
    text: Mapped[str]
    constraints: Mapped[str | None]
    started_at: Mapped[Timestamp]
    ended_at: Mapped[datetime | None]

    objective: Mapped[Objective] = relationship(back_populates="history")
