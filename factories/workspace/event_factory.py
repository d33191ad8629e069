"""Events: the audit trail."""

from __future__ import annotations

from datetime import timedelta

import factory

from app.workspace.models import Event
from factories.base import BaseFactory
from factories.workspace.agent_factory import AgentFactory
from factories.workspace.command_factory import CommandFactory
from factories.workspace.project_factory import ProjectFactory
from factories.workspace.turn_factory import TurnFactory
from flask_testbed.factories import Ago, SharedParent
from flask_testbed.randomness import spread

__all__ = ["EventFactory"]


class EventFactory(BaseFactory[Event]):
    """A change of a command's state, without a key, as if all that it speaks of were deleted.

    ``with_chain=True`` gives it all four keys, which belong together: the turn's command, the
    command's session, the session's project. Whichever of them the call gives, the rest follows.
    """

    class Params:
        with_chain = factory.Trait(
            project=SharedParent(
                ProjectFactory,
                "turn.command.agent.project",
                "command.agent.project",
                "agent.project",
            ),
            agent=SharedParent(
                AgentFactory,
                "turn.command.agent",
                "command.agent",
                project=factory.SelfAttribute("..project"),
            ),
            command=SharedParent(
                CommandFactory,
                "turn.command",
                commanded=True,
                agent=factory.SelfAttribute("..agent"),
            ),
            turn=factory.SubFactory(TurnFactory, command=factory.SelfAttribute("..command")),
            timestamp=factory.LazyAttribute(
                lambda event: event.turn.timestamp + spread(timedelta(0), timedelta(seconds=1))
            ),
        )

    timestamp = Ago(timedelta(minutes=1), timedelta(hours=8))
    event_type = "command.state_changed"
    payload = factory.LazyFunction(lambda: {"from": "idle", "to": "commanded"})
    project = None
    agent = None
    command = None
    turn = None
