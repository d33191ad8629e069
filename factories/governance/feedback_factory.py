"""Feedback: what people think of what agents did."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import factory

from app.governance.models import AgentFeedback, FeedbackStatus, FeedbackType
from factories.base import BaseFactory
from factories.governance.agent_factory import AgentFactory
from factories.governance.execution_factory import AgentExecutionFactory
from factories.governance.user_factory import UserFactory
from flask_testbed.factories import SharedParent, Uuid
from flask_testbed.randomness import generator, now, spread

__all__ = ["AgentFeedbackFactory"]

THUMBS_UP = {FeedbackType.CORRECTION: False, FeedbackType.APPROVAL: True}


def _created_at(feedback: Any) -> datetime:
    """Soon after the execution."""
    execution = feedback.execution
    if execution is None:
        return now() - spread(timedelta(hours=1), timedelta(days=14))
    end: datetime = execution.completed_at or execution.started_at
    return end + spread(timedelta(minutes=1), timedelta(minutes=30))


def _adjudicated_at(feedback: Any) -> Any:
    if feedback.status == FeedbackStatus.PENDING:
        return None
    return feedback.created_at + spread(timedelta(minutes=1), timedelta(minutes=20))


def _original_output(feedback: Any) -> Any:
    said = feedback.execution and feedback.execution.response_summary
    return said or feedback.unfinished_output


class AgentFeedbackFactory(BaseFactory[AgentFeedback]):
    """A correction that nobody has ruled on, with its user, its execution, and their agent.

    ``execution=None`` gives feedback on the agent as a whole.
    """

    class Params:
        unfinished_output = factory.Faker("sentence", nb_words=10)

        correction = factory.Trait(feedback_type=FeedbackType.CORRECTION)
        # Not "rating", which is a column.
        rated = factory.Trait(feedback_type=FeedbackType.RATING)
        approval = factory.Trait(feedback_type=FeedbackType.APPROVAL)
        comment = factory.Trait(feedback_type=FeedbackType.COMMENT)

        pending = factory.Trait(status=FeedbackStatus.PENDING)
        accepted = factory.Trait(status=FeedbackStatus.ACCEPTED)
        rejected = factory.Trait(status=FeedbackStatus.REJECTED)

    id = Uuid()
    agent = SharedParent(AgentFactory, "execution.agent")
    execution = factory.SubFactory(AgentExecutionFactory, agent=factory.SelfAttribute("..agent"))
    user = factory.SubFactory(UserFactory)
    feedback_type = FeedbackType.CORRECTION
    original_output = factory.LazyAttribute(_original_output)
    user_correction = factory.Maybe(
        factory.LazyAttribute(lambda feedback: feedback.feedback_type == FeedbackType.CORRECTION),
        yes_declaration=factory.Faker("sentence", nb_words=10),
        no_declaration=None,
    )
    thumbs_up = factory.LazyAttribute(lambda feedback: THUMBS_UP.get(feedback.feedback_type))
    rating = factory.LazyAttribute(
        lambda feedback: (
            generator().randint(3, 5) if feedback.feedback_type == FeedbackType.RATING else None
        )
    )
    status = FeedbackStatus.PENDING
    created_at = factory.LazyAttribute(_created_at)
    adjudicated_at = factory.LazyAttribute(_adjudicated_at)
