"""Live coding sessions."""

from __future__ import annotations

from datetime import timedelta

import factory

from app.workspace.models import Agent
from factories.base import BaseFactory
from factories.workspace.project_factory import ProjectFactory
from flask_testbed.factories import After, Ago, KeyOf, RelatedBatch, Uuid

__all__ = ["AgentFactory"]


class AgentFactory(BaseFactory[Agent]):
    """A live session that is idle, with its project. ``priority_score`` brings its reason."""

    class Params:
        ended = factory.Trait(ended_at=After("last_seen_at", timedelta(0), timedelta(minutes=4)))
        prioritised = factory.Trait(priority_score=80)
        # Bound to an agent of the fleet, a new one unless the call gives `registry_id`.
        registered = factory.Trait(
            registry_id=KeyOf("factories.governance.agent_factory.AgentFactory")
        )

    session_uuid = Uuid()
    project = factory.SubFactory(ProjectFactory)
    registry_id = None
    started_at = Ago(timedelta(minutes=30), timedelta(hours=8))
    last_seen_at = After("started_at", timedelta(minutes=15), timedelta(minutes=25))
    ended_at = None
    priority_score = None
    priority_reason = factory.Maybe(
        factory.LazyAttribute(lambda agent: agent.priority_score is not None),
        yes_declaration=factory.Faker("sentence", nb_words=8),
        no_declaration=None,
    )

    with_commands = RelatedBatch("factories.workspace.command_factory.CommandFactory", "agent")
