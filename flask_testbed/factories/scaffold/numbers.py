"""The values of columns of numbers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import types

from .python import call, name
from .values import FEW, Value, WantedValue, sequence

__all__ = ["decimal_value", "float_value", "integer_value"]

_LARGEST_SMALLINT = 32767


def integer_value(wanted: WantedValue) -> Value:
    """Return random integers; or, if they must be unique, consecutive ones."""
    low, high = (int(end) for end in _ends(wanted, 0, 1000, 1))
    if not wanted.unique:
        return Value(call(name("factory.fuzzy", "FuzzyInteger"), repr(low), repr(high)), low)
    limited = wanted.limits.high is not None
    bounded = limited or isinstance(wanted.type, types.SmallInteger)
    count = (high if limited else _LARGEST_SMALLINT) - low + 1
    number = f"n % {count}" if bounded else "n"
    shifted = f"{number} + {low}" if low > 0 else f"{number} - {-low}" if low < 0 else number
    return Value(sequence(f"lambda n: {shifted}"), low, unique=True, scarce=bounded and count < FEW)


def decimal_value(wanted: WantedValue) -> Value:
    """Return random decimals; or, if they must be unique, consecutive whole ones."""
    kind = wanted.type
    scale = kind.scale if kind.scale is not None else 2
    largest = Decimal(1000) if kind.precision is None else Decimal(10) ** (kind.precision - scale)
    step = Decimal(10) ** -scale
    low, high = _ends(wanted, Decimal(0), min(Decimal(1000), largest - step), step)
    if wanted.unique:
        source = sequence(f"lambda n: {name('decimal', 'Decimal')}(n)")
        return Value(source, Decimal(0), unique=True)
    fuzzy = name("factory.fuzzy", "FuzzyDecimal")
    # FuzzyDecimal takes floats and rounds them.
    source = call(fuzzy, _plain(low), _plain(high), precision=repr(scale))
    return Value(source, Decimal(str(low)))


def float_value(wanted: WantedValue) -> Value:
    """Return random floats; or, if they must be unique, rising ones."""
    low, high = _ends(wanted, 0, 1, 0.001)
    if wanted.unique:
        return Value(sequence("lambda n: n / 8"), 0.0, unique=True)
    fuzzy = name("factory.fuzzy", "FuzzyFloat")
    return Value(call(fuzzy, _plain(low), _plain(high)), float(low))


def _ends(wanted: WantedValue, low: Any, high: Any, step: Any) -> tuple[Any, Any]:
    """Return the ends of the random numbers: those of the limits, or else the given ones.

    :param step: the distance from an end that is excluded.
    """
    limits = wanted.limits
    if limits.low is not None:
        low = limits.low + step if limits.low_excluded else limits.low
        high = max(high, low + (high or 0)) if limits.high is None else high
    if limits.high is not None:
        high = limits.high - step if limits.high_excluded else limits.high
        low = min(low, high) if limits.low is None else low
    return low, high


def _plain(number: Any) -> str:
    return repr(int(number) if number == int(number) else float(number))
