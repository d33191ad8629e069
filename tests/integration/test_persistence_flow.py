"""Whole chains of rows, written in one session and read back, intact, in another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Session

import factories
from app.extensions import Base
from app.governance.models import (
    AgentExecution,
    AgentFeedback,
    AgentRegistry,
    AgentStatus,
    Episode,
    EpisodeSegment,
    EpisodeType,
    ExecutionStatus,
    FeedbackType,
    SegmentType,
)
from app.workspace.models import (
    Agent,
    Command,
    CommandState,
    Event,
    Project,
    Turn,
    TurnActor,
    TurnIntent,
)
from factories import workspace

START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def values(row: Base) -> dict[str, Any]:
    """The values of all columns of a row, and of what is derived from them."""
    attributes = sa.inspect(type(row)).column_attrs
    return {attribute.key: getattr(row, attribute.key) for attribute in attributes}


def assert_intact(session: Session, *rows: Base) -> None:
    """Read each row in another session, and compare it value by value."""
    for row in rows:
        key = sa.inspect(row).identity
        assert key is not None
        read = session.get_one(type(row), key)
        assert read is not row
        assert values(read) == values(row)


def test_from_a_project_to_its_trail(db: SQLAlchemy) -> None:
    project = Project(name="Mail", slug="mail", path="/srv/mail", created_at=START)
    agent = Agent(project=project, started_at=START, last_seen_at=START + MINUTE)
    command = Command(
        agent=agent, state=CommandState.PROCESSING, instruction="Sort", started_at=START
    )
    turn = Turn(
        command=command,
        actor=TurnActor.USER,
        intent=TurnIntent.COMMAND,
        text="Sort my mail \N{SNOWMAN}",
        timestamp=START,
    )
    event = Event(
        event_type="turn.taken",
        payload={"words": 3, "deep": [{"er": None}]},
        timestamp=START,
        project=project,
        agent=agent,
        command=command,
        turn=turn,
    )
    db.session.add(event)
    db.session.commit()

    with Session(db.engine) as session:
        assert_intact(session, project, agent, command, turn, event)
        found = session.scalars(sa.select(Event)).one()
        assert found.turn is not None
        assert found.turn.command.agent.project is found.project
        assert found.project is not None
        assert [a.state for a in found.project.agents] == [CommandState.PROCESSING]
        assert found.timestamp == START
        assert found.timestamp.utcoffset() is not None


def test_from_an_agent_to_its_feedback(db: SQLAlchemy) -> None:
    agent = AgentRegistry(
        name="Sorter",
        category="operations",
        module_path="agents.mail",
        class_name="Sorter",
        status=AgentStatus.SUPERVISED,
        confidence=0.1 + 0.2,
        capabilities=["read", "sort"],
    )
    execution = AgentExecution(
        agent=agent,
        user_request="Sort",
        status=ExecutionStatus.COMPLETED,
        started_at=START,
        completed_at=START + MINUTE,
        response_summary="Sorted",
        tokens_used=2**40,
        duration_ms=60_000,
        maturity_at_execution=AgentStatus.SUPERVISED,
    )
    feedback = AgentFeedback(
        agent=agent,
        execution=execution,
        user=factories.UserFactory(),
        feedback_type=FeedbackType.RATING,
        original_output="Sorted",
        rating=5,
    )
    db.session.add(feedback)
    db.session.commit()

    with Session(db.engine) as session:
        assert_intact(session, agent, execution, feedback)
        found = session.scalars(sa.select(AgentRegistry)).one()
        assert [e.tokens_used for e in found.executions] == [2**40]
        assert [f.rating for f in found.executions[0].feedback] == [5]
        assert found.confidence == 0.1 + 0.2


def test_from_an_episode_to_its_segments(db: SQLAlchemy) -> None:
    episode = Episode(
        agent=factories.AgentFactory(),
        title="Morning",
        summary="Mail",
        episode_type=EpisodeType.TASK,
        maturity_at_start=AgentStatus.STUDENT,
        maturity_at_end=AgentStatus.INTERN,
        started_at=START,
        ended_at=START + 3 * MINUTE,
    )
    for order in (2, 0, 1):
        segment = EpisodeSegment(
            segment_type=SegmentType.OBSERVATION,
            sequence_order=order,
            content_summary=f"Part {order}",
            segment_metadata={"order": order, "notes": ["a", {"b": 1.5}]},
            started_at=START + order * MINUTE,
            ended_at=START + (order + 1) * MINUTE,
            agent_maturity=AgentStatus.STUDENT,
            confidence_score=0.5,
        )
        episode.segments.append(segment)
    db.session.add(episode)
    db.session.commit()

    with Session(db.engine) as session:
        assert_intact(session, episode, *episode.segments)
        found = session.scalars(sa.select(Episode)).one()
        assert [segment.sequence_order for segment in found.segments] == [0, 1, 2]
        stored = session.scalars(sa.text("SELECT metadata ->> 'order' FROM episode_segments"))
        assert sorted(stored) == ["0", "1", "2"]


def test_an_absent_payload_is_null_and_not_the_json_value(db: SQLAlchemy) -> None:
    factories.EventFactory(payload=None)
    assert db.session.scalar(sa.text("SELECT payload IS NULL FROM events")) is True


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], CommandState.IDLE),
        ([CommandState.COMPLETE], CommandState.IDLE),
        ([CommandState.PROCESSING], CommandState.PROCESSING),
        ([CommandState.PROCESSING, CommandState.COMPLETE], CommandState.PROCESSING),
        ([CommandState.PROCESSING, CommandState.AWAITING_INPUT], CommandState.AWAITING_INPUT),
        ([CommandState.COMMANDED, CommandState.IDLE], CommandState.IDLE),
    ],
)
def test_the_state_of_a_session_can_be_read_and_queried(
    db: SQLAlchemy, states: list[CommandState], expected: CommandState
) -> None:
    agent = workspace.AgentFactory()
    for minute, state in enumerate(states):
        start = agent.started_at + minute * MINUTE
        factories.CommandFactory(agent=agent, state=state, started_at=start)
    db.session.expire_all()
    assert agent.state is expected
    found = db.session.scalars(sa.select(Agent).where(Agent.state == expected)).one()
    assert found is agent
    assert db.session.scalars(sa.select(Agent).where(Agent.state != expected)).all() == []


def test_a_row_written_as_plain_sql_gets_the_time(db: SQLAlchemy) -> None:
    before = datetime.now(UTC) - MINUTE
    db.session.execute(
        sa.text("INSERT INTO projects (name, slug, path) VALUES ('Mail', 'mail', '/srv/mail')")
    )
    project = db.session.scalars(sa.select(Project)).one()
    assert before < project.created_at < datetime.now(UTC) + MINUTE
