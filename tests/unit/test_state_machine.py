"""How a command may move, without a database."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.workspace.enums import CommandState
from app.workspace.state_machine import MOVES, can_move

STATES = list(CommandState)
LEGAL = {
    ("idle", "commanded"),
    ("commanded", "processing"),
    ("processing", "awaiting_input"),
    ("awaiting_input", "processing"),
    ("processing", "complete"),
}


@pytest.mark.parametrize(("start", "end"), list(itertools.product(STATES, STATES)))
def test_only_the_moves_of_the_domain_are_legal(start: CommandState, end: CommandState) -> None:
    assert can_move(start, end) is ((start.value, end.value) in LEGAL)


def test_every_state_has_its_moves() -> None:
    assert set(MOVES) == set(STATES)


@given(st.data())
def test_every_walk_begins_alike_and_can_still_be_completed(data: st.DataObject) -> None:
    walk = [CommandState.IDLE]
    for _ in range(data.draw(st.integers(0, 20))):
        ways = sorted(MOVES[walk[-1]])
        if not ways:
            break
        walk.append(data.draw(st.sampled_from(ways)))
    expected = [CommandState.IDLE, CommandState.COMMANDED, CommandState.PROCESSING]
    assert walk[:3] == expected[: len(walk)]
    assert CommandState.COMPLETE not in walk[:-1]
    assert CommandState.COMPLETE in reachable(walk[-1])


def reachable(start: CommandState) -> set[CommandState]:
    """The states in which a command that is in this one can ever be."""
    found = {start}
    while new := {end for state in found for end in MOVES[state]} - found:
        found |= new
    return found
