"""How a command moves: idle → commanded → processing → awaiting_input ⇄ processing → complete."""

from __future__ import annotations

from collections.abc import Mapping

from app.workspace.enums import CommandState

__all__ = ["MOVES", "can_move"]

MOVES: Mapping[CommandState, frozenset[CommandState]] = {
    CommandState.IDLE: frozenset({CommandState.COMMANDED}),
    CommandState.COMMANDED: frozenset({CommandState.PROCESSING}),
    CommandState.PROCESSING: frozenset({CommandState.AWAITING_INPUT, CommandState.COMPLETE}),
    CommandState.AWAITING_INPUT: frozenset({CommandState.PROCESSING}),
    CommandState.COMPLETE: frozenset(),
}


def can_move(start: CommandState, end: CommandState) -> bool:
    """Whether a command may go from one state to the other in one move."""
    return end in MOVES[start]
