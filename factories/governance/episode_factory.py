"""Episodes and their segments."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import factory

from app.governance.models import (
    AgentStatus,
    Episode,
    EpisodeSegment,
    EpisodeType,
    SegmentType,
)
from factories.base import BaseFactory
from factories.governance.agent_factory import AgentFactory, confidence_of
from flask_testbed.factories import After, Ago, RelatedBatch, Uuid
from flask_testbed.randomness import generator

__all__ = ["EpisodeFactory", "EpisodeSegmentFactory"]

MATURITIES = list(AgentStatus)


def _next_maturity(episode: Any) -> AgentStatus:
    rank = MATURITIES.index(episode.maturity_at_start)
    return MATURITIES[min(rank + 1, len(MATURITIES) - 1)]


class EpisodeFactory(BaseFactory[Episode]):
    """A finished task without an intervention, with its agent, remembered once since."""

    class Params:
        task = factory.Trait(episode_type=EpisodeType.TASK)
        interaction = factory.Trait(episode_type=EpisodeType.INTERACTION)
        training = factory.Trait(episode_type=EpisodeType.TRAINING)
        review = factory.Trait(episode_type=EpisodeType.REVIEW)

        # Still open: the model has no other sign of it than an end that is the start.
        ongoing = factory.Trait(
            ended_at=factory.SelfAttribute("started_at"), access_count=0, last_accessed_at=None
        )
        # The agent rose by one level in it.
        promoted = factory.Trait(maturity_at_end=factory.LazyAttribute(_next_maturity))
        consolidated = factory.Trait(
            is_consolidated=True,
            consolidated_into=factory.SubFactory(
                "factories.governance.episode_factory.EpisodeFactory",
                agent=factory.SelfAttribute("..agent"),
            ),
        )

    id = Uuid()
    agent = factory.SubFactory(AgentFactory)
    title = factory.Faker("catch_phrase")
    summary = factory.Faker("paragraph", nb_sentences=2)
    episode_type = EpisodeType.TASK
    maturity_at_start = factory.SelfAttribute("agent.status")
    maturity_at_end = factory.SelfAttribute("maturity_at_start")
    started_at = Ago(timedelta(days=1), timedelta(days=20))
    ended_at = After("started_at", timedelta(minutes=5), timedelta(hours=2))
    intervention_count = 0
    constitutional_score = factory.LazyFunction(lambda: round(generator().uniform(0.85, 1.0), 3))
    decay_factor = 1.0
    last_accessed_at = After("ended_at", timedelta(minutes=1), timedelta(hours=1))
    access_count = 1
    is_consolidated = False
    consolidated_into = None

    with_segments = RelatedBatch(
        "factories.governance.episode_factory.EpisodeSegmentFactory", "episode"
    )


def _next_order(segment: Any) -> int:
    orders = [other.sequence_order for other in segment.episode.segments]
    return max(orders, default=-1) + 1


def _boundary(segment: Any, order: int) -> datetime:
    """Where in its episode a segment begins: however many there are, in order, before the end."""
    episode = segment.episode
    start: datetime = episode.started_at
    length: timedelta = episode.ended_at - start
    return start + length * order / (order + 4)


class EpisodeSegmentFactory(BaseFactory[EpisodeSegment]):
    """A task within its episode, after the segments that the episode has already."""

    class Params:
        task = factory.Trait(segment_type=SegmentType.TASK)
        interaction = factory.Trait(segment_type=SegmentType.INTERACTION)
        observation = factory.Trait(segment_type=SegmentType.OBSERVATION)
        outcome = factory.Trait(segment_type=SegmentType.OUTCOME)

    id = Uuid()
    episode = factory.SubFactory(EpisodeFactory)
    segment_type = SegmentType.TASK
    sequence_order = factory.LazyAttribute(_next_order)
    content_summary = factory.Faker("sentence", nb_words=12)
    segment_metadata = factory.LazyFunction(lambda: {"tokens": generator().randint(50, 900)})
    started_at = factory.LazyAttribute(lambda segment: _boundary(segment, segment.sequence_order))
    ended_at = factory.LazyAttribute(
        lambda segment: max(segment.started_at, _boundary(segment, segment.sequence_order + 1))
    )
    agent_maturity = factory.SelfAttribute("episode.maturity_at_start")
    confidence_score = factory.LazyAttribute(lambda segment: confidence_of(segment.agent_maturity))
