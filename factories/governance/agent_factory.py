"""Agents of the fleet, at each level of trust."""

from __future__ import annotations

from datetime import timedelta

import factory

from app.governance.models import AgentRegistry, AgentStatus
from factories.base import BaseFactory
from factories.text import class_name
from flask_testbed.factories import Ago, Derived, RelatedBatch, Uuid
from flask_testbed.randomness import generator

__all__ = [
    "CONFIDENCE",
    "AgentFactory",
    "AutonomousAgentFactory",
    "InternAgentFactory",
    "StudentAgentFactory",
    "SupervisedAgentFactory",
    "confidence_of",
]

#: Between which values the confidence in an agent lies, by its maturity.
CONFIDENCE = {
    AgentStatus.STUDENT: (0.0, 0.5),
    AgentStatus.INTERN: (0.5, 0.7),
    AgentStatus.SUPERVISED: (0.7, 0.9),
    AgentStatus.AUTONOMOUS: (0.9, 1.0),
}


def confidence_of(status: AgentStatus) -> float:
    """A confidence such as an agent of this maturity has."""
    return round(generator().uniform(*CONFIDENCE[status]), 3)


class AgentFactory(BaseFactory[AgentRegistry]):
    """An agent; a student, as each one is at first, unless the call says otherwise."""

    class Params:
        student = factory.Trait(status=AgentStatus.STUDENT)
        intern = factory.Trait(status=AgentStatus.INTERN)
        supervised = factory.Trait(status=AgentStatus.SUPERVISED)
        autonomous = factory.Trait(status=AgentStatus.AUTONOMOUS)

    id = Uuid()
    name = factory.Faker("catch_phrase")
    category = "operations"
    module_path = Derived("category", "agents.{}".format)
    class_name = Derived("name", class_name)
    status = AgentStatus.STUDENT
    confidence = factory.LazyAttribute(lambda agent: confidence_of(agent.status))
    capabilities = factory.LazyFunction(lambda: ["read", "summarise", "draft"])
    description = factory.Faker("sentence", nb_words=12)
    version = "1.0.0"
    created_at = Ago(timedelta(days=60), timedelta(days=120))

    with_executions = RelatedBatch(
        "factories.governance.execution_factory.AgentExecutionFactory", "agent"
    )
    with_feedback = RelatedBatch(
        "factories.governance.feedback_factory.AgentFeedbackFactory", "agent"
    )
    with_episodes = RelatedBatch("factories.governance.episode_factory.EpisodeFactory", "agent")
    with_canvas_audits = RelatedBatch(
        "factories.governance.canvas_factory.CanvasAuditFactory", "agent"
    )


class StudentAgentFactory(AgentFactory):
    """An agent that still learns: confidence 0 to 0.5."""

    status = AgentStatus.STUDENT


class InternAgentFactory(AgentFactory):
    """An agent that may propose: confidence 0.5 to 0.7."""

    status = AgentStatus.INTERN


class SupervisedAgentFactory(AgentFactory):
    """An agent that acts under supervision: confidence 0.7 to 0.9."""

    status = AgentStatus.SUPERVISED


class AutonomousAgentFactory(AgentFactory):
    """An agent that acts on its own: confidence 0.9 to 1."""

    status = AgentStatus.AUTONOMOUS
