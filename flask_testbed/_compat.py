"""What the engine uses of other libraries although it is private or not documented.

There is a section for each library. Each entry names the version that it was seen in, and
``tests/test_compat.py`` tests that it is there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# factory_boy
#
# It is imported where it is needed: the extension works without it. These names are used
# throughout flask_testbed.factories, and are not hidden here:
#
# - `_meta`, the options of a factory, which factory_boy's documentation itself names;
# - `factory.builder`, which its page "Internals" documents: `parse_declarations`, `BuildStep`,
#   `StepBuilder`, `DeclarationSet` (https://factoryboy.readthedocs.io/en/stable/internals.html);
# - the methods that `BaseFactory` and `FactoryOptions` override.


def defaults_of(declaration: Any) -> dict[str, Any]:
    """Return the keyword arguments of a declaration. factory_boy 3.3."""
    defaults: dict[str, Any] = declaration._defaults
    return defaults


def has_default(attribute: Any) -> bool:
    """Return whether a `SelfAttribute` was given a default. factory_boy 3.3."""
    from factory import declarations

    return attribute.default is not declarations._UNSPECIFIED


def faker_of(locale: str | None) -> Any:
    """Return the Faker that factory_boy uses for a locale. factory_boy 3.3."""
    import factory

    return factory.Faker._get_faker(locale)


def take_sequence_numbers(meta: Any, size: int) -> range:
    """Return the next numbers of a factory's sequence, and advance it. factory_boy 3.3."""
    meta._initialize_counter()
    first: int = meta._counter.seq
    meta._counter.seq += size
    return range(first, first + size)


# psycopg, for binary COPY


@dataclass(frozen=True)
class _ElementDumper:
    """Has the two attributes that psycopg's dumper of lists uses of an element's dumper."""

    oid: int
    dump: Callable[[Any], bytes]


def array_dumper(oid: int, dump: Callable[[Any], bytes]) -> Any:
    """Return psycopg's binary dumper of lists, with elements that psycopg need not know.

    The attribute `sub_dumper` is not documented. psycopg 3.3.

    :param oid: the type of the elements.
    :param dump: returns an element in the binary format.
    """
    import psycopg
    from psycopg.pq import Format

    array = psycopg.adapters.types["text"].array_oid
    dumper: Any = psycopg.adapters.get_dumper_by_oid(array, Format.BINARY)(list)
    dumper.sub_dumper = _ElementDumper(oid, dump)
    return dumper


# SQLAlchemy's models, for rows in bulk


def reverse_relationships(relationship: Any) -> set[Any]:
    """Return the relationships that mirror one, by ``back_populates`` or ``backref``.

    SQLAlchemy 2.0 and 2.1.
    """
    reverse: set[Any] = relationship._reverse_property
    return reverse


def has_own_init(mapper: Any) -> bool:
    """Return whether a model's ``__init__`` is not the one of its registry.

    `ClassManager.original_init` is not documented. SQLAlchemy 2.0 and 2.1.
    """
    return mapper.class_manager.original_init is not mapper.registry.constructor


def has_listener(target: Any, event: str) -> bool:
    """Return whether anything listens to an event of a mapper or of an attribute.

    `dispatch` is not documented. SQLAlchemy 2.0 and 2.1.
    """
    return bool(getattr(target.dispatch, event))


def has_bind_expression(kind: Any) -> bool:
    """Return whether a type writes its values by an SQL expression. SQLAlchemy 2.0 and 2.1."""
    found: bool = kind._has_bind_expression
    return found
