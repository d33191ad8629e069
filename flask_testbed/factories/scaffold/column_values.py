"""The value that fits a column's type and limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, types
from sqlalchemy.dialects import postgresql

from .column_kinds import Kind, kind_of, members_of, misfit, undecorated
from .constraints.checks import SOMETHING
from .constraints.limits import Limits
from .numbers import decimal_value, float_value, integer_value
from .python import call, name
from .text_columns import text_value
from .times import date_value, datetime_value, interval_value, time_value
from .values import (
    DECLARATIONS,
    RANDOMNESS,
    Value,
    WantedValue,
    faker,
    lazy,
    one_of,
    sequence,
    written,
)

__all__ = ["value_for"]


def value_for(wanted: WantedValue) -> Value | None:
    """Return a value for a column, or ``None`` if its type is not known."""
    column, limits = wanted.column, wanted.limits
    members = members_of(column.type)
    allowed = [pair for pair in members if not limits.choices or pair[1] in limits.choices]
    if allowed:
        return one_of(allowed, wanted.unique)
    if limits.choices:
        return one_of([(written(one), one) for one in limits.choices], wanted.unique)
    kind = kind_of(column.type)
    make = _BY_KIND.get(kind)
    if make is None:
        return None
    value = make(replace(wanted, limits=_with_length(column, limits)))
    if value is not None and kind_of(column.type, decorated=True) is not kind:
        return _accepted(column, value)
    return value


def _with_length(column: Column[Any], limits: Limits) -> Limits:
    """Return the limits, narrowed by the length in the column's type."""
    kind = undecorated(column.type)
    length = kind.length if isinstance(kind, types.String) else None
    if length is None or (limits.longest is not None and limits.longest <= length):
        return limits
    return replace(limits, longest=length)


def _accepted(column: Column[Any], value: Value) -> Value | None:
    """Return a value that a type of the application's own accepts, or ``None``."""
    # A type may accept a zero although it accepts no other number.
    examples = [value.example, 1] if value.example == 0 else [value.example]
    if SOMETHING not in examples and all(misfit(column.type, one) is None for one in examples):
        return value
    for candidate in _CANDIDATES:
        if misfit(column.type, candidate) is None:
            return Value(written(candidate))
    return None


_CANDIDATES: list[Any] = [
    UUID(int=1), {}, [], "x", 1, datetime(2026, 1, 1, tzinfo=UTC), "192.0.2.1", "a@example.com",
    "https://example.com", "#aabbcc", "Europe/Paris", "US", "USD", "en", b"x", True,
]  # fmt: skip


def _boolean(wanted: WantedValue) -> Value:
    if wanted.unique:
        return one_of([("False", False), ("True", True)], unique=True)
    return Value("False", False)


def _uuid(wanted: WantedValue) -> Value:
    if wanted.type.as_uuid:
        return Value(call(name(DECLARATIONS, "Uuid")), unique=True)
    return Value(lazy(f"lambda: str({name(RANDOMNESS, 'random_uuid')}())"), unique=True)


def _bytes(wanted: WantedValue) -> Value:
    size = min(16, getattr(wanted.type, "length", None) or 16)
    source = lazy(f"lambda: {name(RANDOMNESS, 'generator')}().randbytes({size})")
    return Value(source, b"0" * size, unique=True)


def _json(wanted: WantedValue) -> Value:
    examples: dict[str | None, Any] = {"array": [], "string": "", "number": 0, "boolean": False}
    example = examples.get(wanted.limits.json_type, {})
    if wanted.limits.shortest:
        example = ["x"] * wanted.limits.shortest
    return Value(written(example), example)


def _array(wanted: WantedValue) -> Value | None:
    size = wanted.limits.shortest
    if not size:
        return Value(lazy("list"), [])
    item = Column(wanted.column.key, wanted.type.item_type)
    value = value_for(replace(wanted, column=item, limits=Limits(), unique=False))
    if value is None or value.example is SOMETHING:
        return None
    return Value(
        lazy(f"lambda: [{', '.join([written(value.example)] * size)}]"), [value.example] * size
    )


def _range(wanted: WantedValue) -> Value:
    """Return ranges that do not overlap."""
    range_ = name("sqlalchemy.dialects.postgresql", "Range")
    date, datetime = name("datetime", "date"), name("datetime", "datetime")
    timedelta = name("datetime", "timedelta")
    kind = wanted.type
    if isinstance(kind, postgresql.INT4RANGE | postgresql.INT8RANGE | postgresql.NUMRANGE):
        return Value(sequence(f"lambda n: {range_}(n * 10, n * 10 + 5)"), unique=True)
    if isinstance(kind, postgresql.DATERANGE):
        end = f"{date}(2000, 1, 1) + {timedelta}(n + i)"
    elif isinstance(kind, postgresql.TSTZRANGE):
        end = f"{datetime}.fromtimestamp(n + i, {name('datetime', 'UTC')})"
    else:
        end = f"{datetime}(2000, 1, 1) + {timedelta}(n + i)"
    return Value(sequence(f"lambda n: {range_}(*({end} for i in (0, 1)))"), unique=True)


def _bits(wanted: WantedValue) -> Value:
    bits = "0" * (wanted.type.length or 1)
    return Value(repr(bits), bits)


_BY_KIND: dict[Kind, Callable[[WantedValue], Value | None]] = {
    Kind.TEXT: text_value,
    Kind.INTEGER: integer_value,
    Kind.DECIMAL: decimal_value,
    Kind.FLOAT: float_value,
    Kind.DATETIME: datetime_value,
    Kind.DATE: date_value,
    Kind.TIME: time_value,
    Kind.INTERVAL: interval_value,
    Kind.BOOLEAN: _boolean,
    Kind.UUID: _uuid,
    Kind.BYTES: _bytes,
    Kind.JSON: _json,
    Kind.ARRAY: _array,
    Kind.INET: lambda _: Value(faker("ipv6"), "2001:db8::1", unique=True),
    Kind.CIDR: lambda _: Value(faker("ipv6", network=True), "2001:db8::/32", unique=True),
    Kind.MACADDR: lambda _: Value(faker("mac_address"), "02:00:00:00:00:01", unique=True),
    Kind.RANGE: _range,
    Kind.DICT: lambda _: Value(lazy("dict"), {}),
    Kind.BITS: _bits,
    Kind.TSVECTOR: lambda _: Value(repr("word"), "word"),
}
