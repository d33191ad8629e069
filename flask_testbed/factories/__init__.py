"""Factories that write through the current application's session.

This is the one import for whoever writes factories. Begin with :mod:`.base`. ``create_bulk`` is in
:mod:`.bulk`, the drawing of factories in :mod:`.graph`, their check against the database in
:mod:`.lint`, and factories that are written for models in :mod:`.scaffold`.
"""

from __future__ import annotations

from ..randomness import reseed
from .base import BaseFactory, Factories, trait_names, writing_to
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
