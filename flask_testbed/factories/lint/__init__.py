"""Calls every factory with each of its traits, and reports what the database refuses.

Begin with :mod:`.linter`. :mod:`.trials` makes the calls, :mod:`.findings` explains errors.
"""

from __future__ import annotations

from .linter import Fault, LintReport, Unfilled, lint

__all__ = ["Fault", "LintReport", "Unfilled", "lint"]
