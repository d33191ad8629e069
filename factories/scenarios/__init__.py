"""What ``flask seed`` can play: importing this package registers each scenario."""

from __future__ import annotations

from factories.base import scenarios
from factories.scenarios import demo

__all__ = ["demo", "scenarios"]
