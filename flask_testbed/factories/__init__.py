"""Factories that write through the current application's session.

All names for writing factories are imported from here. Begin with :mod:`.base`. :mod:`.sessions`
finds the session of a call, :mod:`.options` has the options of ``class Meta``, and :mod:`.registry`
the factories of an application. ``create_bulk`` is in :mod:`.bulk`, the graph of factories in
:mod:`.graph`, their check against the database in :mod:`.lint`, and the generation of factories
for models in :mod:`.scaffold`.
"""

from __future__ import annotations

from ..randomness import reseed
from .base import BaseFactory
from .bulk import Keys, from_rows
from .declarations import (
    After,
    Ago,
    Derived,
    KeyOf,
    OnRequest,
    RelatedBatch,
    SharedParent,
    Token,
    Uuid,
)
from .registry import Factories, trait_names
from .sessions import writing_to

__all__ = [
    "After",
    "Ago",
    "BaseFactory",
    "Derived",
    "Factories",
    "KeyOf",
    "Keys",
    "OnRequest",
    "RelatedBatch",
    "SharedParent",
    "Token",
    "Uuid",
    "from_rows",
    "reseed",
    "trait_names",
    "writing_to",
]
