"""Factories that are written for models which have none.

Begin with :mod:`.module`, which writes the text; :mod:`.plan` decides what a factory declares.
"""

from __future__ import annotations

from .models import find_models
from .module import scaffold

__all__ = ["find_models", "scaffold"]
