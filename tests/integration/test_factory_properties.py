"""What holds for factories whatever they are given."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from factory.declarations import Trait
from flask_sqlalchemy import SQLAlchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.governance.models import AgentStatus, ExecutionStatus
from app.workspace.models import CommandState
from factories import (
    AgentExecutionFactory,
    AgentFactory,
    CommandFactory,
    EpisodeFactory,
    ProjectFactory,
    TurnFactory,
    UserFactory,
    factories,
)
from factories.governance.agent_factory import CONFIDENCE
from factories.governance.execution_factory import ENDED
from factories.text import class_name, slug
from flask_testbed.factories import reseed, trait_names, writing_to
from flask_testbed.randomness import frozen

# The database is put back after the test, not after each example: examples add up, and must not
# be in each other's way. Hence the fixture may be shared.
on_database = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
in_memory = settings(max_examples=100, deadline=None)

moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
# What PostgreSQL stores as text: everything but NUL and half of a surrogate pair.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=100)


def overridden(factory: Any, trait: str) -> set[str]:
    parameter = factory._meta.parameters[trait]
    assert isinstance(parameter, Trait)
    return set(parameter.overrides)


@st.composite
def factories_with_traits(draw: st.DrawFn) -> tuple[Any, dict[str, bool]]:
    """A factory and some of its traits, no two of which set the same field."""
    factory = draw(st.sampled_from(list(factories)))
    chosen: dict[str, bool] = {}
    taken: set[str] = set()
    for trait in draw(st.permutations(trait_names(factory))):
        if not taken & overridden(factory, trait) and draw(st.booleans()):
            chosen[trait] = True
            taken |= overridden(factory, trait)
    return factory, chosen


@on_database
@given(factories_with_traits())
def test_traits_that_do_not_contradict_each_other_make_an_accepted_row(
    db: SQLAlchemy, case: tuple[Any, dict[str, bool]]
) -> None:
    factory, traits = case
    row = factory(**traits)
    assert sa.inspect(row).persistent


@in_memory
@given(st.sampled_from(list(factories)), st.integers() | st.text(), moments)
def test_a_seed_and_a_moment_decide_everything(
    factory: Any, seed: int | str, now: datetime
) -> None:
    def values() -> list[object]:
        reseed(seed)
        with frozen(now):
            row = factory.build()
        return [getattr(row, column.key) for column in sa.inspect(row).mapper.column_attrs]

    assert values() == values()


@on_database
@given(
    st.sampled_from(list(factories)), st.lists(st.integers(), min_size=2, max_size=4, unique=True)
)
def test_rows_under_different_seeds_never_collide(
    db: SQLAlchemy, factory: Any, seeds: list[int]
) -> None:
    with writing_to(db.session()):
        for seed in seeds:
            reseed(seed)
            factory.create_batch(2)
    db.session.rollback()


@in_memory
@given(st.sampled_from(list(factories)), moments)
def test_nothing_happens_after_now(factory: Any, now: datetime) -> None:
    with frozen(now):
        row = factory.build()
    for attribute in sa.inspect(row).mapper.column_attrs:
        value = getattr(row, attribute.key)
        if isinstance(value, datetime):
            assert value <= now
            assert value.utcoffset() == timedelta(0)


@in_memory
@given(st.sampled_from(ExecutionStatus), moments, st.integers(0, 10**9))
def test_an_execution_has_what_its_state_asks_for(
    status: ExecutionStatus, start: datetime, duration: int
) -> None:
    execution = AgentExecutionFactory.build(
        status=status, started_at=start, duration_ms=duration, agent=None, maturity_at_execution="x"
    )
    assert (execution.completed_at is not None) == (status in ENDED)
    assert execution.completed_at is None or execution.completed_at >= start
    assert bool(execution.response_summary) == (status is ExecutionStatus.COMPLETED)
    assert bool(execution.error_message) == (status is ExecutionStatus.FAILED)


@in_memory
@given(st.sampled_from(AgentStatus), st.booleans())
def test_confidence_is_that_of_the_maturity(status: AgentStatus, as_text: bool) -> None:
    least, most = CONFIDENCE[status]
    given_status = status.value if as_text else status
    assert least <= AgentFactory.build(status=given_status).confidence <= most


@in_memory
@given(st.integers(0, 15), moments, st.timedeltas(timedelta(0), timedelta(days=9)))
def test_segments_lie_in_their_episode_one_after_the_other(
    size: int, start: datetime, length: timedelta
) -> None:
    episode = EpisodeFactory.build(started_at=start, ended_at=start + length, with_segments=size)
    bounds = [bound for s in episode.segments for bound in (s.started_at, s.ended_at)]
    assert [s.sequence_order for s in episode.segments] == list(range(size))
    assert bounds == sorted(bounds)
    assert all(start <= bound <= start + length for bound in bounds)


@in_memory
@given(st.sampled_from(CommandState), st.integers(0, 6))
def test_turns_come_in_order_and_before_the_end(state: CommandState, size: int) -> None:
    command = CommandFactory.build(state=state, with_turns=size)
    said = [turn.timestamp for turn in command.turns]
    assert said == sorted(set(said))
    assert all(moment > command.started_at for moment in said)
    if command.completed_at is not None:
        assert all(moment <= command.completed_at for moment in said)


@on_database
@given(texts, texts)
def test_any_name_gives_an_address_that_is_accepted(db: SQLAlchemy, first: str, last: str) -> None:
    user = UserFactory(first_name=first, last_name=last)
    assert re.fullmatch(r"[a-z0-9-]+\.[a-z0-9-]+\.[0-9a-f]{12}@example\.(com|net|org)", user.email)


@on_database
@given(texts)
def test_any_name_gives_a_slug_and_a_path_that_are_accepted(db: SQLAlchemy, name: str) -> None:
    project = ProjectFactory(name=name)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", project.slug)
    assert project.path.endswith(project.slug)


@in_memory
@given(st.text(max_size=400))
def test_any_text_gives_a_slug_and_a_class_name(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug(text))
    assert len(slug(text)) <= 150
    assert class_name(text).isidentifier()
    assert len(class_name(text)) <= 156


@in_memory
@given(st.integers(1, 4))
def test_a_batch_shares_the_parent_that_it_is_given(size: int) -> None:
    command = CommandFactory.build()
    turns = TurnFactory.build_batch(size, command=command)
    assert command.turns == turns


@pytest.mark.parametrize("factory", list(factories), ids=factories.name_of)
def test_every_factory_draws_from_the_seeded_streams_alone(
    factory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the module ``random`` nor ``uuid4`` is seeded with the factories."""

    def unseeded(*_: object, **__: object) -> None:
        raise AssertionError("an unseeded source of chance")

    for name in ("uuid.uuid4", "random.random", "random.randint", "random.choice", "os.urandom"):
        monkeypatch.setattr(name, unseeded)
    factory.build()
