"""A row of docs/isolation.md as a test: the same scenario with and without isolation.

.. code-block:: python

    @scenario(7, sees=[], rollback=Differs(["red"]))
    def test_what_is_not_committed_is_nobody_elses(env: Environment) -> list[str]:
        ...

The scenario returns what it saw. It is played on a fresh database with nothing of the engine in
between, where it must see ``sees``, and again in each mode of isolation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .stage import Stage

Play = Callable[..., Any]


@dataclass(frozen=True)
class Differs:
    """What a scenario sees in rollback mode, where that is not what production shows."""

    sees: Any


class Refused:
    """An IsolationError that says to use commit mode."""


@dataclass(frozen=True)
class Scenario:
    """What is played, and what must be seen."""

    row: int
    """Of the table in docs/isolation.md."""

    play: Play
    sees: Any
    rollback: Differs | type[Refused] | None
    """What rollback mode shows in place of ``sees``."""

    warns: str | None
    """What commit mode says of a test that leaves something open, as a regular expression."""


def scenario(
    row: int,
    *,
    sees: Any,
    rollback: Differs | type[Refused] | None = None,
    warns: str | None = None,
    each: Sequence[Any] = (),
) -> Callable[[Play], Callable[..., None]]:
    """Make a test of a scenario, for each mode.

    :param each: what the scenario is given after the environment, one after the other; it must
        see the same each time.
    """

    def decorate(play: Play) -> Callable[..., None]:
        written = Scenario(row, play, sees, rollback, warns)

        def test(stage: Stage) -> None:
            stage.perform(written)

        def test_each(stage: Stage, variant: Any) -> None:
            stage.perform(written, variant)

        chosen = pytest.mark.parametrize("variant", each)(test_each) if each else test
        chosen.__name__ = play.__name__
        chosen.__doc__ = play.__doc__
        chosen.__module__ = play.__module__
        chosen.row = row
        return chosen

    return decorate
