"""The acts of the governance domain. Each one that changes something commits it."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, joinedload
from werkzeug.security import generate_password_hash

from app.api import Conflict, Fault, Invalid, Page, assign, fetch, paginate, save
from app.extensions import utc_now
from app.governance import schemas
from app.governance.models import (
    AgentExecution,
    AgentFeedback,
    AgentRegistry,
    CanvasAudit,
    Episode,
    EpisodeSegment,
    ExecutionStatus,
    User,
)

# Users


def list_users(wanted: schemas.UserListing) -> Page[User]:
    """Users, the newest first; ``q`` is part of a name or an address."""
    statement = sa.select(User).where(*wanted.matches(User))
    if wanted.q:
        texts = (User.email, User.first_name, User.last_name)
        statement = statement.where(_any_contains(texts, wanted.q))
    return paginate(statement.order_by(User.created_at.desc(), User.id), wanted)


def create_user(new: schemas.NewUser) -> User:
    """A user, whose password is kept only as a hash."""
    secret = generate_password_hash(new.password.get_secret_value())
    return save(User(**new.model_dump(exclude={"password"}), password_hash=secret))


# Agents


def list_agents(wanted: schemas.AgentListing) -> Page[AgentRegistry]:
    """Agents by name; ``q`` is part of a name or a description."""
    statement = sa.select(AgentRegistry).where(*wanted.matches(AgentRegistry))
    if wanted.q:
        texts = (AgentRegistry.name, AgentRegistry.description)
        statement = statement.where(_any_contains(texts, wanted.q))
    return paginate(statement.order_by(AgentRegistry.name, AgentRegistry.id), wanted)


def create_agent(new: schemas.NewAgent) -> AgentRegistry:
    """An agent joins the fleet."""
    return save(AgentRegistry(**new.model_dump()))


def _any_contains(
    texts: Collection[InstrumentedAttribute[Any]], part: str
) -> sa.ColumnElement[bool]:
    return sa.or_(*(text.icontains(part, autoescape=True) for text in texts))


# Executions


def list_executions(wanted: schemas.ExecutionListing) -> Page[AgentExecution]:
    """Executions, the latest first."""
    statement = sa.select(AgentExecution).where(*wanted.matches(AgentExecution))
    latest = statement.order_by(AgentExecution.started_at.desc(), AgentExecution.id)
    return paginate(latest, wanted, joinedload(AgentExecution.agent))


def create_execution(new: schemas.NewExecution) -> AgentExecution:
    """A request waits for its agent, which is as mature as it is now."""
    maturity = fetch(AgentRegistry, new.agent_id).status
    return save(AgentExecution(**new.model_dump(), maturity_at_execution=maturity))


def start_execution(key: uuid.UUID) -> AgentExecution:
    """The agent begins: pending or paused becomes running.

    :raises Conflict: It is neither.
    """
    execution = fetch(AgentExecution, key, lock=True)
    _expect(execution, {ExecutionStatus.PENDING, ExecutionStatus.PAUSED}, "started")
    if execution.status is ExecutionStatus.PENDING:
        execution.started_at = utc_now()
    execution.status = ExecutionStatus.RUNNING
    return save(execution)


def finish_execution(key: uuid.UUID, result: schemas.Finish) -> AgentExecution:
    """The agent has answered: running becomes completed.

    :raises Conflict: It does not run.
    """
    return _end(key, ExecutionStatus.COMPLETED, result)


def fail_execution(key: uuid.UUID, result: schemas.Failure) -> AgentExecution:
    """The agent gives up: running becomes failed.

    :raises Conflict: It does not run.
    """
    return _end(key, ExecutionStatus.FAILED, result)


def _end(
    key: uuid.UUID, status: ExecutionStatus, result: schemas.Finish | schemas.Failure
) -> AgentExecution:
    execution = fetch(AgentExecution, key, lock=True)
    _expect(execution, {ExecutionStatus.RUNNING}, status.value)
    assign(execution, result.model_dump())
    execution.status = status
    # Another machine's clock may have been ahead of this one's when it began.
    execution.completed_at = max(utc_now(), execution.started_at)
    duration = execution.completed_at - execution.started_at
    execution.duration_ms = duration // timedelta(milliseconds=1)
    return save(execution)


def _expect(execution: AgentExecution, allowed: set[ExecutionStatus], act: str) -> None:
    if execution.status not in allowed:
        raise Conflict(
            f"An execution that is {execution.status} cannot be {act}:"
            f" it must be {' or '.join(sorted(allowed))}."
        )


# Feedback


def list_feedback(wanted: schemas.FeedbackListing) -> Page[AgentFeedback]:
    """Feedback, the newest first."""
    statement = sa.select(AgentFeedback).where(*wanted.matches(AgentFeedback))
    newest = statement.order_by(AgentFeedback.created_at.desc(), AgentFeedback.id)
    return paginate(newest, wanted, joinedload(AgentFeedback.agent), joinedload(AgentFeedback.user))


def give_feedback(new: schemas.NewFeedback) -> AgentFeedback:
    """A user judges what an agent did.

    :raises Invalid: The execution is another agent's.
    """
    if new.execution_id is not None:
        execution = fetch(AgentExecution, new.execution_id)
        if execution.agent_id != new.agent_id:
            raise Invalid([Fault("This execution is another agent's", ["execution_id"])])
    return save(AgentFeedback(**new.model_dump()))


def adjudicate_feedback(key: uuid.UUID, verdict: schemas.Adjudication) -> AgentFeedback:
    """Accept feedback or reject it, once.

    :raises Conflict: That was done before.
    """
    feedback = fetch(AgentFeedback, key, lock=True)
    if feedback.adjudicated_at is not None:
        raise Conflict(f"This feedback is already {feedback.status}.")
    feedback.status = verdict.status
    feedback.adjudicated_at = max(utc_now(), feedback.created_at)
    return save(feedback)


# Episodes


def list_episodes(wanted: schemas.EpisodeListing) -> Page[Episode]:
    """Episodes, the latest first."""
    statement = sa.select(Episode).where(*wanted.matches(Episode))
    latest = statement.order_by(Episode.started_at.desc(), Episode.id)
    return paginate(latest, wanted, joinedload(Episode.agent))


def create_episode(new: schemas.NewEpisode) -> Episode:
    """An episode with its segments, in the order in which they are given."""
    values = new.model_dump(exclude={"segments"})
    values["ended_at"] = new.ended_at or new.started_at
    values["maturity_at_end"] = new.maturity_at_end or new.maturity_at_start
    values["is_consolidated"] = new.consolidated_into_id is not None
    segments = [_segment(order, segment) for order, segment in enumerate(new.segments)]
    return save(Episode(**values, segments=segments))


def _segment(order: int, new: schemas.NewSegment) -> EpisodeSegment:
    values = new.model_dump(exclude={"metadata"})
    return EpisodeSegment(**values, sequence_order=order, segment_metadata=new.metadata)


def close_episode(key: uuid.UUID, closing: schemas.Closing) -> Episode:
    """An open episode ends, now if not told otherwise.

    :raises Conflict: It has ended before.
    :raises Invalid: It would end before its start.
    """
    episode = fetch(Episode, key, lock=True)
    if episode.ended_at > episode.started_at:
        raise Conflict(f"This episode ended at {episode.ended_at.isoformat()}.")
    values = closing.model_dump(exclude_none=True)
    values["ended_at"] = _end_of(episode, closing.ended_at or utc_now())
    assign(episode, values)
    return save(episode)


def _end_of(episode: Episode, end: datetime) -> datetime:
    if end <= episode.started_at:
        raise Invalid([Fault("Must be after started_at", ["ended_at"])])
    return end


# Canvas audits


def list_canvas_audits(wanted: schemas.CanvasListing) -> Page[CanvasAudit]:
    """Canvas audits, the latest first."""
    statement = sa.select(CanvasAudit).where(*wanted.matches(CanvasAudit))
    latest = statement.order_by(CanvasAudit.presented_at.desc(), CanvasAudit.id)
    return paginate(latest, wanted, joinedload(CanvasAudit.agent), joinedload(CanvasAudit.user))


def create_canvas_audit(new: schemas.NewCanvasAudit) -> CanvasAudit:
    """What an agent showed, and what came of it, is put on record."""
    return save(CanvasAudit(**new.model_dump()))
