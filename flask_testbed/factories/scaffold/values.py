"""What a factory declares for a column: Python source, and an example of its values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Column

from .column_kinds import members_of, undecorated
from .constraints.checks import SOMETHING
from .constraints.limits import Limits
from .python import FACTORY, call, name

__all__ = [
    *("DECLARATIONS", "FEW", "RANDOMNESS"),
    *("Value", "WantedValue", "constant", "faker", "lazy", "one_of", "sequence", "written"),
]

DECLARATIONS = "flask_testbed.factories"
RANDOMNESS = "flask_testbed.randomness"

#: With fewer possible values than this, a unique column runs out of them, and rows are looked up.
FEW = 4000


@dataclass(frozen=True)
class Value:
    """What a factory declares for a column."""

    source: str
    example: Any = SOMETHING
    """Such a value as it is stored, to evaluate constraints with."""

    unique: bool = False
    """Whether no two rows get the same value."""

    scarce: bool = False
    """Whether there are so few values that they repeat, and the row must be looked up first."""


@dataclass(frozen=True)
class WantedValue:
    """A column that needs a value, and what is required of it."""

    column: Column[Any]
    limits: Limits
    unique: bool
    """Whether no two rows may have the same value."""

    row_name: str
    """Name of the row in the factory's functions."""

    @property
    def type(self) -> Any:
        """The column's type, without the application's own types around it."""
        return undecorated(self.column.type)


def constant(column: Column[Any], example: Any) -> Value:
    """Return a value that is the same in each row.

    :param example: the value as it is stored.
    """
    for source, stored in members_of(column.type):
        if stored == example:
            return Value(source, stored)
    return Value(written(example), example)


def one_of(choices: list[tuple[str, Any]], unique: bool) -> Value:
    """Return the first of several values; or all of them in turn, if they must be unique.

    :param choices: pairs of the source and the value as it is stored.
    """
    if not unique:
        return Value(*choices[0])
    sources = ", ".join(source for source, _ in choices)
    iterator = call(f"{FACTORY}.Iterator", f"[{sources}]")
    return Value(iterator, SOMETHING, unique=True, scarce=True)


def written(value: Any) -> str:
    """Return the source that declares a value."""
    if isinstance(value, Decimal):
        return f"{name('decimal', 'Decimal')}('{value}')"
    if isinstance(value, datetime):
        moment = f"{value.year}, {value.month}, {value.day}"
        return f"{name('datetime', 'datetime')}({moment}, tzinfo={name('datetime', 'UTC')})"
    if isinstance(value, UUID):
        return call(name(DECLARATIONS, "Uuid"))
    if isinstance(value, dict | list) and not value:
        return lazy(type(value).__name__)
    if isinstance(value, dict | list):
        return lazy(f"lambda: {value!r}")
    return repr(value)


def lazy(function: str) -> str:
    """Return the declaration that calls a function without arguments."""
    return call(f"{FACTORY}.LazyFunction", function)


def sequence(function: str) -> str:
    """Return the declaration that calls a function with the row's number."""
    return call(f"{FACTORY}.Sequence", function)


def faker(provider: str, **options: Any) -> str:
    """Return the declaration that calls a provider of Faker."""
    keywords = {key: repr(value) for key, value in options.items()}
    return call(f"{FACTORY}.Faker", repr(provider), **keywords)
