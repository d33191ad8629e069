"""Each factory and each trait, tried against the database and its constraints.

Begin with :mod:`.linter`.
"""

from __future__ import annotations

from .linter import Fault, LintReport, Unfilled, lint

__all__ = ["Fault", "LintReport", "Unfilled", "lint"]
