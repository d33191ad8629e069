"""Rows in bulk: a factory's declarations, evaluated column by column and written by COPY.

Begin with :mod:`.create`, then :mod:`.maker`. :mod:`.compile` turns declarations into
:mod:`.nodes`, which are evaluated for :mod:`.chunks` of rows, which :mod:`.copy` writes.
"""

from __future__ import annotations

from .chunks.keys import Keys
from .nodes.shared import from_rows

__all__ = ["Keys", "from_rows"]
