"""Scenarios: data sets that are the same under the same seed, written in one transaction.

May import :mod:`flask_testbed.factories` and :mod:`flask_testbed.application`. Begin with
:mod:`.playing`, which writes the rows of a scenario. :mod:`.scenarios` is the registry,
:mod:`.seed` the argument of a scenario, :mod:`.tables` empties tables, and :mod:`.database` finds
the database.
"""

from __future__ import annotations

from .database import check_reset, has_rows, is_marked, leading_to, reach
from .playing import SeedReport, play
from .scenarios import Scenario, Scenarios
from .seed import Progress, Seed

__all__ = [
    "Progress",
    "Scenario",
    "Scenarios",
    "Seed",
    "SeedReport",
    "check_reset",
    "has_rows",
    "is_marked",
    "leading_to",
    "play",
    "reach",
]
