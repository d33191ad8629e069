"""Turns: what is said about a command."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import factory

from app.workspace.models import Turn, TurnActor, TurnIntent
from factories.base import BaseFactory
from factories.workspace.command_factory import CommandFactory
from flask_testbed.factories import OnRequest
from flask_testbed.randomness import spread

__all__ = ["TurnFactory"]


def _timestamp(turn: Any) -> datetime:
    """After what was said before; within three minutes, the least that a command takes."""
    start: datetime = turn.command.started_at
    said = [other.timestamp for other in turn.command.turns]
    return max(said, default=start) + spread(timedelta(seconds=1), timedelta(seconds=15))


def _answer(turn: Turn, create: bool, wanted: bool | None, **values: Any) -> None:
    """Let a user answer the turn, after it: ``TurnFactory(question=True, answered=True)``."""
    if wanted:
        make = TurnFactory.create if create else TurnFactory.build
        turn.answered_by = make(command=turn.command, answer=True, **values)


class TurnFactory(BaseFactory[Turn]):
    """A user's command, with the command that it is a part of, after what was said before.

    ``answered=True`` makes the turn that answers it, too.
    """

    class Params:
        answer = factory.Trait(actor=TurnActor.USER, intent=TurnIntent.ANSWER)
        question = factory.Trait(actor=TurnActor.AGENT, intent=TurnIntent.QUESTION)
        progress = factory.Trait(actor=TurnActor.AGENT, intent=TurnIntent.PROGRESS)
        completion = factory.Trait(actor=TurnActor.AGENT, intent=TurnIntent.COMPLETION)
        end_of_command = factory.Trait(actor=TurnActor.AGENT, intent=TurnIntent.END_OF_COMMAND)

    command = factory.SubFactory(CommandFactory)
    actor = TurnActor.USER
    intent = TurnIntent.COMMAND
    text = factory.Faker("sentence", nb_words=10)
    timestamp = factory.LazyAttribute(_timestamp)
    answered_by = None

    answered = OnRequest(_answer)
