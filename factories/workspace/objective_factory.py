"""Objectives, and what they said before."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import factory

from app.workspace.models import Objective, ObjectiveHistory
from factories.base import BaseFactory
from flask_testbed.factories import Ago, RelatedBatch
from flask_testbed.randomness import spread

__all__ = ["ObjectiveFactory", "ObjectiveHistoryFactory"]


class ObjectiveFactory(BaseFactory[Objective]):
    """An objective by which work is ranked. ``with_history=2`` gives it two earlier texts."""

    current_text = factory.Faker("sentence", nb_words=9)
    constraints = factory.Faker("sentence", nb_words=7)
    priority_enabled = True
    set_at = Ago(timedelta(days=1), timedelta(days=10))

    with_history = RelatedBatch(
        "factories.workspace.objective_factory.ObjectiveHistoryFactory", "objective", ended=True
    )


def _replaced_at(entry: Any) -> datetime:
    """When an earlier text made way for the earliest that the history knows of."""
    objective: Objective = entry.objective
    return min((other.started_at for other in objective.history), default=objective.set_at)


class ObjectiveHistoryFactory(BaseFactory[ObjectiveHistory]):
    """The text that its objective has now; ``ended=True`` gives one that it had before."""

    class Params:
        ended = factory.Trait(
            text=factory.Faker("sentence", nb_words=9),
            constraints=factory.Faker("sentence", nb_words=7),
            ended_at=factory.LazyAttribute(_replaced_at),
            started_at=factory.LazyAttribute(
                lambda entry: entry.ended_at - spread(timedelta(days=2), timedelta(days=20))
            ),
        )

    objective = factory.SubFactory(ObjectiveFactory)
    text = factory.SelfAttribute("objective.current_text")
    constraints = factory.SelfAttribute("objective.constraints")
    started_at = factory.SelfAttribute("objective.set_at")
    ended_at = None
