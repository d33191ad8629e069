"""Scenarios: data sets that one seed repeats exactly, played in one transaction.

May import :mod:`flask_testbed.factories` and :mod:`flask_testbed.application`. Begin with
:mod:`.scenarios`; :mod:`.playing` writes the rows.
"""

from __future__ import annotations

from .playing import SeedReport, check_reset, is_marked, leading_to, play, reach
from .scenarios import Scenario, Scenarios
from .seed import Progress, Seed

__all__ = [
    "Progress",
    "Scenario",
    "Scenarios",
    "Seed",
    "SeedReport",
    "check_reset",
    "is_marked",
    "leading_to",
    "play",
    "reach",
]
