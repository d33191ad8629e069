"""What the database itself refuses: bad values are sent as plain SQL.

What must be refused is read from the models, so a new column, choice or constraint without its
bad value fails here.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy

import factories
from app.extensions import Base
from app.governance.models import AgentExecution, AgentRegistry, Episode, EpisodeSegment
from app.workspace.models import Agent, Command, Event, Project, Turn
from factories import workspace

METADATA = Base.metadata

# One row of each table, in the most ordinary state in which all its foreign keys are set.
SAMPLES: dict[str, Callable[[], Any]] = {
    "users": factories.UserFactory,
    "agent_registry": factories.AgentFactory,
    "agent_executions": factories.AgentExecutionFactory,
    "agent_feedback": factories.AgentFeedbackFactory,
    "episodes": lambda: factories.EpisodeFactory(consolidated=True),
    "episode_segments": factories.EpisodeSegmentFactory,
    "canvas_audits": factories.CanvasAuditFactory,
    "projects": factories.ProjectFactory,
    "agents": lambda: workspace.AgentFactory(registered=True),
    "commands": factories.CommandFactory,
    "turns": lambda: factories.TurnFactory(answered_by=factories.TurnFactory()),
    "events": lambda: factories.EventFactory(with_chain=True),
    "objectives": factories.ObjectiveFactory,
    "objective_histories": factories.ObjectiveHistoryFactory,
}

# What a bad choice needs beside it, so that no other constraint is broken.
BESIDE_A_BAD_CHOICE: dict[str, dict[str, str]] = {
    "ck_agent_executions_status": {"completed_at": "NULL", "response_summary": "NULL"},
    "ck_agent_feedback_status": {"adjudicated_at": "created_at"},
}

# For each CHECK that is not a choice: new values that break it, and it alone.
BAD: dict[str, list[dict[str, str]]] = {
    "ck_agent_registry_confidence_range": [
        {"confidence": "-0.01"},
        {"confidence": "1.01"},
        {"confidence": "'NaN'"},
        {"confidence": "'Infinity'"},
    ],
    "ck_agent_registry_capabilities_is_list": [
        {"capabilities": "'{}'"},
        {"capabilities": "'null'"},
        {"capabilities": "'7'"},
    ],
    "ck_agent_executions_completed_at_when_ended": [
        {"completed_at": "NULL"},
        {"status": "'running'", "response_summary": "NULL"},
        {"status": "'cancelled'", "response_summary": "NULL", "completed_at": "NULL"},
        {"status": "'timeout'", "response_summary": "NULL", "completed_at": "NULL"},
    ],
    "ck_agent_executions_completed_at_after_start": [
        {"completed_at": "started_at - interval '1 microsecond'"}
    ],
    "ck_agent_executions_response_summary_when_completed": [
        {"response_summary": "NULL"},
        {"status": "'cancelled'"},
    ],
    "ck_agent_executions_error_message_when_failed": [
        {"error_message": "'No'"},
        {"status": "'failed'", "response_summary": "NULL"},
    ],
    "ck_agent_executions_tokens_used_range": [{"tokens_used": "-1"}],
    "ck_agent_executions_duration_ms_range": [{"duration_ms": "-1"}],
    "ck_agent_feedback_rating_range": [{"rating": "0"}, {"rating": "6"}],
    "ck_agent_feedback_adjudicated_at_when_adjudicated": [
        {"adjudicated_at": "created_at"},
        {"status": "'accepted'"},
    ],
    "ck_agent_feedback_adjudicated_at_after_creation": [
        {"status": "'accepted'", "adjudicated_at": "created_at - interval '1 microsecond'"}
    ],
    "ck_episodes_ended_at_after_start": [{"ended_at": "started_at - interval '1 microsecond'"}],
    "ck_episodes_intervention_count_range": [{"intervention_count": "-1"}],
    "ck_episodes_constitutional_score_range": [
        {"constitutional_score": "-0.01"},
        {"constitutional_score": "1.01"},
        {"constitutional_score": "'NaN'"},
    ],
    "ck_episodes_decay_factor_range": [
        {"decay_factor": "-0.01"},
        {"decay_factor": "1.01"},
        {"decay_factor": "'NaN'"},
    ],
    "ck_episodes_access_count_range": [{"access_count": "-1"}],
    "ck_episodes_consolidated_into_another": [{"is_consolidated": "false"}],
    "ck_episodes_not_consolidated_into_itself": [{"consolidated_into_id": "id"}],
    "ck_episode_segments_sequence_order_range": [{"sequence_order": "-1"}],
    "ck_episode_segments_metadata_is_object": [{"metadata": "'[]'"}, {"metadata": "'null'"}],
    "ck_episode_segments_ended_at_after_start": [
        {"ended_at": "started_at - interval '1 microsecond'"}
    ],
    "ck_episode_segments_confidence_score_range": [
        {"confidence_score": "-0.01"},
        {"confidence_score": "1.01"},
        {"confidence_score": "'NaN'"},
    ],
    "ck_canvas_audits_canvas_data_is_object": [{"canvas_data": "'[]'"}, {"canvas_data": "'null'"}],
    "ck_canvas_audits_closed_at_after_presentation": [
        {"closed_at": "presented_at - interval '1 microsecond'"}
    ],
    "ck_canvas_audits_error_details_of_error": [
        {"error_details": "'None'"},
        {"error_details": "'None'", "result_status": "'cancelled'"},
    ],
    "ck_agents_last_seen_at_after_start": [
        {"last_seen_at": "started_at - interval '1 microsecond'"}
    ],
    "ck_agents_ended_at_after_start": [{"ended_at": "started_at - interval '1 microsecond'"}],
    "ck_agents_priority_score_range": [
        {"priority_score": "-1", "priority_reason": "'Why'"},
        {"priority_score": "101", "priority_reason": "'Why'"},
    ],
    "ck_agents_priority_with_reason": [{"priority_score": "50"}, {"priority_reason": "'Why'"}],
    "ck_commands_completed_at_when_complete": [
        {"completed_at": "started_at"},
        {"state": "'complete'"},
    ],
    "ck_commands_completed_at_after_start": [
        {"state": "'complete'", "completed_at": "started_at - interval '1 microsecond'"}
    ],
    "ck_commands_completion_summary_of_complete": [{"completion_summary": "'Done'"}],
    "ck_turns_not_answered_by_itself": [{"answered_by_turn_id": "id"}],
    "ck_events_payload_is_object": [{"payload": "'[]'"}, {"payload": "'null'"}],
    "ck_objective_histories_ended_at_after_start": [
        {"ended_at": "started_at - interval '1 microsecond'"}
    ],
}


def choices() -> dict[str, sa.Column[Any]]:
    """The columns that hold an enumeration, by the name of their constraint."""
    return {
        f"ck_{table.name}_{column.name}": column
        for table in METADATA.sorted_tables
        for column in table.columns
        if isinstance(column.type, sa.Enum)
    }


def checks() -> dict[str, sa.Table]:
    """The tables of all CHECK constraints, by the constraint's name."""
    return {
        str(constraint.name): table
        for table in METADATA.sorted_tables
        for constraint in table.constraints
        if isinstance(constraint, sa.CheckConstraint)
    }


def required_columns() -> list[tuple[str, str]]:
    """The table and the name of each column that is never null."""
    return [
        (table.name, column.name)
        for table in METADATA.sorted_tables
        for column in table.columns
        if not column.nullable
    ]


def unique_keys() -> dict[str, tuple[str, list[str]]]:
    """The table and the columns of each unique constraint or index, by its name."""
    keys: dict[str, tuple[str, list[str]]] = {}
    for table in METADATA.sorted_tables:
        for key in (*table.constraints, *table.indexes):
            if getattr(
                key, "unique", isinstance(key, sa.UniqueConstraint | sa.PrimaryKeyConstraint)
            ):
                assert isinstance(key, sa.Index | sa.PrimaryKeyConstraint | sa.UniqueConstraint)
                keys[str(key.name)] = (table.name, [column.name for column in key.columns])
    return keys


def foreign_keys() -> list[tuple[str, str, str, str]]:
    """Of each foreign key the table, the column, the table that it names, what a delete does."""
    return [
        (table.name, column.name, key.column.table.name, str(key.ondelete))
        for table in METADATA.sorted_tables
        for column in table.columns
        for key in column.foreign_keys
    ]


def plain(table: str, *columns: str) -> sa.TableClause:
    """A table of which SQLAlchemy knows only names, so that no type of a model is in the way."""
    return sa.table(table, sa.column("id"), *(sa.column(name) for name in columns))


def change(table: str, key: object, values: dict[str, str]) -> sa.Update:
    """Plain SQL that gives a row new values, each of them written in SQL."""
    target = plain(table, *values)
    texts = {name: sa.text(value) for name, value in values.items()}
    return sa.update(target).where(target.c.id == key).values(texts)


def refusal(db: SQLAlchemy, statement: sa.Executable) -> psycopg.Error:
    """How the database refuses a statement."""
    with db.engine.connect() as connection, pytest.raises(sa.exc.IntegrityError) as caught:
        connection.execute(statement)
    assert isinstance(caught.value.orig, psycopg.Error)
    return caught.value.orig


def test_every_table_has_a_sample() -> None:
    assert set(SAMPLES) == set(METADATA.tables)


def test_every_check_has_a_bad_value() -> None:
    assert set(BAD) | set(choices()) == set(checks())
    assert not set(BAD) & set(choices())


@pytest.mark.parametrize(("table", "column"), sorted(required_columns()))
def test_a_required_column_refuses_null(db: SQLAlchemy, table: str, column: str) -> None:
    error = refusal(db, change(table, SAMPLES[table]().id, {column: "NULL"}))
    assert isinstance(error, psycopg.errors.NotNullViolation)
    assert (error.diag.table_name, error.diag.column_name) == (table, column)


@pytest.mark.parametrize("name", sorted(choices()))
def test_a_choice_refuses_what_it_does_not_offer(db: SQLAlchemy, name: str) -> None:
    column = choices()[name]
    table = column.table.name
    for value in ("'nonsense'", "''", f"upper({column.name})"):
        values = {column.name: value} | BESIDE_A_BAD_CHOICE.get(name, {})
        error = refusal(db, change(table, SAMPLES[table]().id, values))
        assert isinstance(error, psycopg.errors.CheckViolation)
        assert error.diag.constraint_name == name


@pytest.mark.parametrize("name", sorted(choices()))
def test_a_choice_offers_its_values_and_no_others(db: SQLAlchemy, name: str) -> None:
    kind = choices()[name].type
    assert isinstance(kind, sa.Enum)
    definition = db.session.scalar(
        sa.text("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = :name"),
        {"name": name},
    )
    assert kind.enum_class is not None
    expected = sorted(member.value for member in kind.enum_class)
    assert sorted(re.findall(r"'([^']*)'", str(definition))) == expected
    assert all(value == value.lower() for value in expected)


@pytest.mark.parametrize(
    ("name", "values"), [(name, values) for name, bad in BAD.items() for values in bad]
)
def test_a_check_refuses_a_bad_value(db: SQLAlchemy, name: str, values: dict[str, str]) -> None:
    table = checks()[name].name
    error = refusal(db, change(table, SAMPLES[table]().id, values))
    assert isinstance(error, psycopg.errors.CheckViolation)
    assert error.diag.constraint_name == name


@pytest.mark.parametrize("name", sorted(unique_keys()))
def test_a_unique_key_refuses_a_second_row(db: SQLAlchemy, name: str) -> None:
    table, columns = unique_keys()[name]
    first, second = SAMPLES[table]().id, SAMPLES[table]().id
    source = plain(table, *columns)
    copied = {
        column: sa.select(source.c[column]).where(source.c.id == first).scalar_subquery()
        for column in columns
    }
    target = plain(table, *columns)
    error = refusal(db, sa.update(target).where(target.c.id == second).values(copied))
    assert isinstance(error, psycopg.errors.UniqueViolation)
    assert error.diag.constraint_name == name


def test_the_unique_keys_are_those_of_the_domain() -> None:
    keys = {(table, *columns) for table, columns in unique_keys().values() if columns != ["id"]}
    assert keys == {
        ("users", "email"),
        ("episode_segments", "episode_id", "sequence_order"),
        ("projects", "slug"),
        ("projects", "path"),
        ("agents", "session_uuid"),
    }


def test_the_uuid_of_a_session_has_a_unique_index(db: SQLAlchemy) -> None:
    indexes = sa.inspect(db.engine).get_indexes("agents")
    assert [index["unique"] for index in indexes if index["column_names"] == ["session_uuid"]] == [
        True
    ]


# Foreign keys


@pytest.mark.parametrize(("table", "column", "parent", "rule"), sorted(foreign_keys()))
def test_a_foreign_key_refuses_what_does_not_exist(
    db: SQLAlchemy, table: str, column: str, parent: str, rule: str
) -> None:
    is_uuid = isinstance(METADATA.tables[parent].c.id.type, sa.Uuid)
    absent = f"'{uuid.uuid4()}'" if is_uuid else str(2**62)
    error = refusal(db, change(table, SAMPLES[table]().id, {column: absent}))
    assert isinstance(error, psycopg.errors.ForeignKeyViolation)
    assert str(error.diag.constraint_name).startswith(f"fk_{table}_{column}_")


@pytest.mark.parametrize(("table", "column", "parent", "rule"), sorted(foreign_keys()))
def test_deleting_what_a_foreign_key_names_does_what_it_says(
    db: SQLAlchemy, table: str, column: str, parent: str, rule: str
) -> None:
    row = SAMPLES[table]()
    child, named = plain(table, column), plain(parent)
    own = child.c.id == row.id
    deletion = sa.delete(named).where(
        named.c.id == sa.select(child.c[column]).where(own).scalar_subquery()
    )
    if rule == "RESTRICT":
        assert refusal(db, deletion).diag.constraint_name == f"fk_{table}_{column}_{parent}"
        return
    with db.engine.begin() as connection:
        assert connection.scalar(sa.select(child.c[column]).where(own)) is not None
        assert connection.execute(deletion).rowcount == 1
    with db.engine.connect() as connection:
        left = connection.scalars(sa.select(child.c[column]).where(own)).all()
    assert list(left) == {"CASCADE": [], "SET NULL": [None]}[rule]


def test_deleting_a_session_takes_its_work_and_leaves_its_trail(db: SQLAlchemy) -> None:
    event = factories.EventFactory(with_chain=True)
    trail = (event.id, event.event_type, event.payload)
    project_id, agent = event.project_id, event.agent
    db.session.delete(agent)
    db.session.commit()
    counts = [db.session.scalar(sa.select(sa.func.count(m.id))) for m in (Agent, Command, Turn)]
    assert counts == [0, 0, 0]
    left = db.session.scalars(sa.select(Event)).one()
    assert (left.id, left.event_type, left.payload) == trail
    assert (left.agent_id, left.command_id, left.turn_id) == (None, None, None)
    assert left.project_id == project_id
    assert db.session.get(Project, project_id) is not None


@pytest.mark.parametrize("load", [False, True], ids=["unloaded", "loaded"])
def test_deleting_an_agent_deletes_all_that_it_did(db: SQLAlchemy, load: bool) -> None:
    agent = factories.AgentFactory(
        with_executions=2, with_feedback=1, with_episodes=2, with_canvas_audits=1
    )
    factories.EpisodeSegmentFactory(episode=agent.episodes[0])
    other = factories.AgentFeedbackFactory()
    db.session.expire_all()
    if load:
        assert agent.executions
        assert agent.episodes[0].segments
    db.session.delete(agent)
    db.session.commit()
    for model in (AgentRegistry, AgentExecution, type(other)):
        assert db.session.scalar(sa.select(sa.func.count(model.id))) == 1
    for gone in (Episode, EpisodeSegment):
        assert db.session.scalar(sa.select(sa.func.count(gone.id))) == 0


def test_a_user_who_gave_feedback_cannot_be_deleted(db: SQLAlchemy) -> None:
    user = factories.AgentFeedbackFactory().user
    assert user.feedback
    db.session.delete(user)
    with pytest.raises(sa.exc.IntegrityError, match="fk_agent_feedback_user_id_users"):
        db.session.commit()
    db.session.rollback()
