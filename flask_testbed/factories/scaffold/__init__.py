"""Writes factories for models that have none.

Begin with :mod:`.module`. :mod:`.plan` decides what a factory declares, :mod:`.column_values` what
a column gets, and :mod:`.constraints` reads CHECK constraints.
"""

from __future__ import annotations

from .models import find_models
from .module import scaffold

__all__ = ["find_models", "scaffold"]
