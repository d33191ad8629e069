"""The enumerations of the workspace domain; the values are what the database stores."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["CommandState", "TurnActor", "TurnIntent"]


class CommandState(StrEnum):
    """Where a command stands. `app.workspace.state_machine` says which moves are legal."""

    IDLE = "idle"
    COMMANDED = "commanded"
    PROCESSING = "processing"
    AWAITING_INPUT = "awaiting_input"
    COMPLETE = "complete"


class TurnActor(StrEnum):
    """Who speaks."""

    USER = "user"
    AGENT = "agent"


class TurnIntent(StrEnum):
    """What a turn is meant to do."""

    COMMAND = "command"
    ANSWER = "answer"
    QUESTION = "question"
    COMPLETION = "completion"
    PROGRESS = "progress"
    END_OF_COMMAND = "end_of_command"
