"""A start for those who have models and no factories: readable ones, made from the models."""

from __future__ import annotations

from .models import find_models
from .module import scaffold

__all__ = ["find_models", "scaffold"]
