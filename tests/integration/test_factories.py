"""Every factory, and every trait: what the database accepts is what comes back."""

from __future__ import annotations

import uuid
from datetime import timedelta
from enum import Enum
from typing import Any

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import MANYTOONE, Mapper, RelationshipProperty, Session, class_mapper
from werkzeug.security import check_password_hash

import factories as package
from app.governance.models import AgentStatus, Episode, ExecutionStatus, FeedbackType
from app.workspace.models import CommandState, TurnIntent
from factories import (
    PASSWORD,
    AgentExecutionFactory,
    AgentFactory,
    AgentFeedbackFactory,
    AutonomousAgentFactory,
    CommandFactory,
    EpisodeFactory,
    EpisodeSegmentFactory,
    EventFactory,
    InternAgentFactory,
    ObjectiveFactory,
    ObjectiveHistoryFactory,
    ProjectFactory,
    StudentAgentFactory,
    SupervisedAgentFactory,
    TurnFactory,
    UserFactory,
    factories,
    governance,
    workspace,
)
from flask_testbed.factories import RelatedBatch, reseed, trait_names, writing_to

EVERY_FACTORY = [pytest.param(factory, id=factories.name_of(factory)) for factory in factories]
EVERY_TRAIT = [
    pytest.param(factory, trait, id=f"{factories.name_of(factory)}-{trait or 'plain'}")
    for factory in factories
    for trait in [None, *trait_names(factory)]
]
EVERY_BATCH = [
    pytest.param(factory, name, id=f"{factories.name_of(factory)}-{name}")
    for factory in factories
    for name, declaration in factory._meta.base_declarations.items()
    if isinstance(declaration, RelatedBatch)
]


def mapper_of(factory: Any) -> Mapper[Any]:
    return class_mapper(factory._meta.model)


def unique_keys(factory: Any) -> set[str]:
    """What must be like no other row's; not the keys that the database itself counts."""
    table = mapper_of(factory).local_table
    unique = {column.key for column in table.columns if column.unique}
    return unique | ({"id"} if isinstance(table.c.id.type, sa.Uuid) else set())


# The most general factory of each model that has such a key.
EVERY_UNIQUE = [
    pytest.param(factory, id=factory._meta.model.__name__)
    for factory in factories
    if factories.for_model(factory._meta.model)[0] is factory and unique_keys(factory)
]


def fields(row: Any) -> dict[str, object]:
    """The value of each column; not what is computed by a query."""
    mapper = sa.inspect(row).mapper
    return {
        attribute.key: getattr(row, attribute.key)
        for attribute in mapper.column_attrs
        if isinstance(attribute.expression, sa.Column)
    }


def parents(factory: Any) -> list[RelationshipProperty[Any]]:
    return [
        relation for relation in mapper_of(factory).relationships if relation.direction is MANYTOONE
    ]


# Accepted, and read back


@pytest.mark.parametrize(("factory", "trait"), EVERY_TRAIT)
def test_a_row_is_accepted_and_read_back_field_by_field(
    db: SQLAlchemy, factory: Any, trait: str | None
) -> None:
    traits = {trait: True} if trait else {}
    # Flushed and not committed, so that the fields are those that were made, not those reloaded.
    with writing_to(db.session()):
        row = factory(**traits)
    made = fields(row)
    db.session.commit()
    with Session(db.engine) as elsewhere:
        found = fields(elsewhere.get_one(type(row), sa.inspect(row).identity))
    assert found == made
    assert {key: type(value) for key, value in found.items()} == {
        key: type(value) for key, value in made.items()
    }


@pytest.mark.parametrize(("factory", "trait"), EVERY_TRAIT)
def test_a_row_is_built_without_an_application(factory: Any, trait: str | None) -> None:
    row = factory.build(**({trait: True} if trait else {}))
    assert sa.inspect(row).transient
    key = mapper_of(factory).primary_key[0]
    assert isinstance(key.type, sa.BigInteger) or isinstance(row.id, uuid.UUID)


# Unique


@pytest.mark.parametrize("factory", EVERY_UNIQUE)
def test_2000_rows_share_no_unique_value(db: SQLAlchemy, factory: Any) -> None:
    factory.create_bulk(2000)
    table = mapper_of(factory).local_table
    counts = [sa.func.count(table.c[key].distinct()) for key in unique_keys(factory)]
    assert set(db.session.execute(sa.select(*counts)).one()) == {2000}


@pytest.mark.parametrize("factory", EVERY_FACTORY)
def test_rows_of_an_earlier_run_are_not_in_the_way(db: SQLAlchemy, factory: Any) -> None:
    """What a sequence gives is repeated by the next process; nothing here depends on one."""
    for seed in ("an earlier run", "this run"):
        reseed(seed)
        factory.create_batch(2)


# Ordinary


@pytest.mark.parametrize("factory", EVERY_FACTORY)
def test_a_plain_row_is_in_one_state_and_not_in_a_random_one(factory: Any) -> None:
    chosen = [
        attribute.key
        for attribute in mapper_of(factory).column_attrs
        if isinstance(attribute.expression, sa.Column)
        and isinstance(attribute.expression.type, sa.Enum | sa.Boolean)
    ]
    states = {tuple(getattr(row, key) for key in chosen) for row in factory.build_batch(20)}
    assert len(states) == 1


@pytest.mark.parametrize(
    ("factory", "key", "ordinary"),
    [
        (AgentFactory, "status", AgentStatus.STUDENT),
        (AgentExecutionFactory, "status", ExecutionStatus.COMPLETED),
        (AgentFeedbackFactory, "feedback_type", FeedbackType.CORRECTION),
        (CommandFactory, "state", CommandState.IDLE),
        (TurnFactory, "intent", TurnIntent.COMMAND),
        (workspace.AgentFactory, "ended_at", None),
    ],
)
def test_a_plain_row_is_in_its_most_ordinary_state(factory: Any, key: str, ordinary: Any) -> None:
    assert getattr(factory.build(), key) is ordinary


@pytest.mark.parametrize(
    ("factory", "key", "states"),
    [
        (AgentFactory, "status", AgentStatus),
        (AgentExecutionFactory, "status", ExecutionStatus),
        (CommandFactory, "state", CommandState),
    ],
)
def test_every_state_is_a_trait_and_a_value(
    db: SQLAlchemy, factory: Any, key: str, states: type[Enum]
) -> None:
    for state in states:
        assert getattr(factory(**{state.value: True}), key) is state
        assert getattr(factory(**{key: state}), key) is state


# Linked


@pytest.mark.parametrize("factory", EVERY_FACTORY)
def test_every_required_parent_is_made_and_linked(db: SQLAlchemy, factory: Any) -> None:
    row = factory()
    for relation in parents(factory):
        (column,) = relation.local_columns
        parent = getattr(row, relation.key)
        if not column.nullable:
            assert parent is not None
        if parent is not None:
            assert getattr(row, column.key) == parent.id
            assert db.session.get_one(type(parent), parent.id) is parent


@pytest.mark.parametrize(("factory", "name"), EVERY_BATCH)
def test_related_rows_are_made_on_demand(db: SQLAlchemy, factory: Any, name: str) -> None:
    relation = factory._meta.base_declarations[name].name
    made = factory(**{name: 3})
    db.session.expire_all()
    target = factory._meta.base_declarations[name].get_factory()._meta.model
    statement = sa.select(target).where(getattr(target, relation) == made)
    assert len(db.session.scalars(statement).all()) == 3


def test_a_row_that_is_made_as_a_parent_has_no_related_rows(db: SQLAlchemy) -> None:
    assert len(AgentExecutionFactory().agent.executions) == 1


def test_feedback_is_on_an_execution_of_its_agent(db: SQLAlchemy) -> None:
    feedback = AgentFeedbackFactory()
    assert feedback.agent is feedback.execution.agent


def test_feedback_on_an_execution_is_on_its_agent(db: SQLAlchemy) -> None:
    execution = AgentExecutionFactory()
    assert AgentFeedbackFactory(execution=execution).agent is execution.agent


def test_feedback_on_an_agent_is_on_an_execution_of_it(db: SQLAlchemy) -> None:
    agent = AgentFactory()
    assert AgentFeedbackFactory(agent=agent).execution.agent is agent
    assert AgentFeedbackFactory(execution__agent=agent).agent is agent


def test_feedback_on_an_agent_as_a_whole_needs_no_execution(db: SQLAlchemy) -> None:
    feedback = AgentFeedbackFactory(execution=None)
    assert feedback.execution is None
    assert feedback.agent is not None


@pytest.mark.parametrize("given", ["turn", "command", "agent", "project", None])
def test_an_event_with_its_chain_is_consistent(db: SQLAlchemy, given: str | None) -> None:
    turn = TurnFactory()
    chain = {
        "turn": turn,
        "command": turn.command,
        "agent": turn.command.agent,
        "project": turn.command.agent.project,
    }
    event = EventFactory(with_chain=True, **({given: chain[given]} if given else {}))
    assert event.turn.command is event.command
    assert event.command.agent is event.agent
    assert event.agent.project is event.project
    assert given is None or getattr(event, given) is chain[given]


def test_a_question_is_answered_after_it_was_asked(db: SQLAlchemy) -> None:
    question = TurnFactory(question=True, answered=True)
    answer = question.answered_by
    assert answer.intent is TurnIntent.ANSWER
    assert answer.command is question.command
    assert answer.timestamp > question.timestamp
    assert answer.id > question.id


def test_a_question_can_be_built_with_its_answer() -> None:
    question = TurnFactory.build(question=True, answered=True)
    assert question.answered_by.intent is TurnIntent.ANSWER


def test_turns_follow_each_other(db: SQLAlchemy) -> None:
    command = CommandFactory(with_turns=4)
    moments = [turn.timestamp for turn in command.turns]
    assert moments == sorted(set(moments))


def test_a_registered_session_belongs_to_an_agent_of_the_fleet(db: SQLAlchemy) -> None:
    session = workspace.AgentFactory(registered=True)
    (agent,) = db.session.scalars(sa.select(governance.AgentFactory._meta.model))
    assert session.registry_id == agent.id


# In agreement


@pytest.mark.parametrize(
    ("factory", "least", "most"),
    [
        (StudentAgentFactory, 0.0, 0.5),
        (InternAgentFactory, 0.5, 0.7),
        (SupervisedAgentFactory, 0.7, 0.9),
        (AutonomousAgentFactory, 0.9, 1.0),
    ],
)
def test_an_agent_has_the_confidence_of_its_maturity(
    factory: Any, least: float, most: float
) -> None:
    agents = factory.build_batch(50)
    assert all(least <= agent.confidence <= most for agent in agents)
    status = agents[0].status
    assert least <= AgentFactory.build(status=status).confidence <= most
    assert AgentExecutionFactory.build(agent=agents[0]).maturity_at_execution is status


def test_an_execution_lasts_until_its_end(db: SQLAlchemy) -> None:
    execution = AgentExecutionFactory(duration_ms=1500)
    assert execution.completed_at - execution.started_at == timedelta(milliseconds=1500)
    end = execution.started_at + timedelta(seconds=7)
    other = AgentExecutionFactory(started_at=execution.started_at, completed_at=end)
    assert other.duration_ms == 7000


def test_an_execution_that_has_not_ended_has_no_duration() -> None:
    pending = AgentExecutionFactory.build(pending=True)
    assert (pending.duration_ms, pending.tokens_used) == (0, 0)
    running = AgentExecutionFactory.build(running=True)
    assert running.duration_ms == 0 < running.tokens_used


def test_feedback_quotes_what_the_agent_said() -> None:
    feedback = AgentFeedbackFactory.build()
    assert feedback.original_output == feedback.execution.response_summary
    assert AgentFeedbackFactory.build(execution__failed=True).original_output


def test_segments_fill_their_episode_in_order(db: SQLAlchemy) -> None:
    episode = EpisodeFactory(with_segments=4)
    segments = episode.segments
    assert [segment.sequence_order for segment in segments] == [0, 1, 2, 3]
    moments = [moment for s in segments for moment in (s.started_at, s.ended_at)]
    assert moments == sorted(moments)
    assert episode.started_at <= moments[0] < moments[-1] <= episode.ended_at


def test_a_segment_comes_after_those_that_are_there(db: SQLAlchemy) -> None:
    episode = EpisodeFactory()
    EpisodeSegmentFactory(episode=episode, sequence_order=5)
    db.session.expire_all()
    assert EpisodeSegmentFactory(episode=episode).sequence_order == 6


def test_an_ongoing_episode_ends_where_it_starts(db: SQLAlchemy) -> None:
    episode = EpisodeFactory(ongoing=True, with_segments=2)
    assert episode.ended_at == episode.started_at


def test_a_consolidated_episode_is_a_part_of_another_of_its_agent(db: SQLAlchemy) -> None:
    episode = EpisodeFactory(consolidated=True)
    assert episode.consolidated_into.agent is episode.agent
    assert db.session.scalar(sa.select(sa.func.count(Episode.id))) == 2


def test_the_history_of_an_objective_has_no_gap(db: SQLAlchemy) -> None:
    objective = ObjectiveFactory(with_history=3)
    present = ObjectiveHistoryFactory(objective=objective)
    assert (present.text, present.started_at) == (objective.current_text, objective.set_at)
    newest_first = sorted(objective.history, key=lambda entry: entry.started_at, reverse=True)
    ends = [entry.ended_at for entry in newest_first]
    assert ends == [None, *(entry.started_at for entry in newest_first[:-1])]


def test_a_session_with_a_score_has_a_reason(db: SQLAlchemy) -> None:
    assert workspace.AgentFactory(priority_score=3).priority_reason
    assert workspace.AgentFactory().priority_reason is None


def test_a_user_logs_in_with_the_password() -> None:
    assert check_password_hash(UserFactory.build().password_hash, PASSWORD)
    hers = UserFactory.build(password="her own")
    assert check_password_hash(hers.password_hash, "her own")
    assert not check_password_hash(hers.password_hash, PASSWORD)


def test_long_and_foreign_names_fit(db: SQLAlchemy) -> None:
    user = UserFactory(first_name="Ж" * 100, last_name="Ångström" * 12)
    assert user.email.isascii()
    project = ProjectFactory(name="An endless name " * 12)
    assert len(project.slug) < 200
    agent = AgentFactory(name="3 steps " * 25)
    assert agent.class_name.isidentifier()


# Public names


def test_every_factory_but_one_is_importable_from_the_package() -> None:
    public = {name for name in package.__all__ if name.endswith("Factory")}
    expected = {factory.__name__ for factory in factories} | {"BaseFactory"}
    assert public == expected
    assert all(hasattr(package, name) for name in package.__all__)


def test_the_agent_factory_is_the_governance_one() -> None:
    assert AgentFactory is governance.AgentFactory is not workspace.AgentFactory
    assert factories["workspace.AgentFactory"] is workspace.AgentFactory
    assert factories["governance.AgentFactory"] is AgentFactory
