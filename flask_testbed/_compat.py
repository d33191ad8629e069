"""What the engine uses of other libraries although it is private or not documented.

There is a section for each library. Each entry names the version that it was seen in, and
``tests/test_compat.py`` tests that it is there.
"""

from __future__ import annotations

from typing import Any

# Python and SQLAlchemy's types and constraints, for scaffold


def parse_regex(pattern: str) -> Any:
    """Return the operations of a regular expression, and their operands. Python 3.11 to 3.14."""
    import re

    return re._parser.parse(pattern)  # type: ignore[attr-defined]


def postgresql_variant(column_type: Any) -> Any:
    """Return what `with_variant` made of a type for PostgreSQL. SQLAlchemy 2.0 and 2.1."""
    return column_type._variant_mapping.get("postgresql", column_type)


def enum_members(column_type: Any) -> dict[str, Any]:
    """Return the members of a type's ``enum_class`` by what is stored. SQLAlchemy 2.0 and 2.1."""
    members: dict[str, Any] = column_type._object_lookup
    return members


def belongs_to_type(constraint: Any) -> bool:
    """Return whether a CHECK constraint was made by the type of a column.

    `Boolean` and `Enum` make one if ``create_constraint`` is set. SQLAlchemy 2.0 and 2.1.
    """
    found: bool = constraint._type_bound
    return found


# factory_boy's sequences, for lint


def sequence_counter(factory: Any) -> Any:
    """Return the counter of a factory's sequence, which has a number ``seq``. factory_boy 3.3.

    ``None`` before the factory has been called.
    """
    return factory._meta._counter
