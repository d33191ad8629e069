"""Commands: what people ask of agents."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import factory

from app.workspace.models import Command, CommandState
from factories.base import BaseFactory
from factories.workspace.agent_factory import AgentFactory
from flask_testbed.factories import RelatedBatch
from flask_testbed.randomness import spread

__all__ = ["CommandFactory"]


def _started_at(command: Any) -> datetime:
    start: datetime = command.agent.started_at
    return start + spread(timedelta(minutes=1), timedelta(minutes=5))


def _completed_at(command: Any) -> Any:
    if command.state != CommandState.COMPLETE:
        return None
    return command.started_at + spread(timedelta(minutes=3), timedelta(minutes=8))


class CommandFactory(BaseFactory[Command]):
    """An idle command, with its session. The other states are traits, or are given as ``state``."""

    class Params:
        idle = factory.Trait(state=CommandState.IDLE)
        commanded = factory.Trait(state=CommandState.COMMANDED)
        processing = factory.Trait(state=CommandState.PROCESSING)
        awaiting_input = factory.Trait(state=CommandState.AWAITING_INPUT)
        complete = factory.Trait(state=CommandState.COMPLETE)

    agent = factory.SubFactory(AgentFactory)
    state = CommandState.IDLE
    instruction = factory.Faker("sentence", nb_words=9)
    started_at = factory.LazyAttribute(_started_at)
    completed_at = factory.LazyAttribute(_completed_at)
    completion_summary = factory.Maybe(
        factory.LazyAttribute(lambda command: command.state == CommandState.COMPLETE),
        yes_declaration=factory.Faker("sentence", nb_words=10),
        no_declaration=None,
    )

    with_turns = RelatedBatch("factories.workspace.turn_factory.TurnFactory", "command")
