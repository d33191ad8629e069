"""Rows in bulk: a factory's declarations, evaluated column by column and written by COPY."""

from __future__ import annotations

from .keys import Keys
from .sources import from_rows

__all__ = ["Keys", "from_rows"]
