"""The values that the CHECK constraints of a table allow in each column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from .checks import Check
from .expressions import Parsed

__all__ = ["Limits", "Order", "limits_of", "orders_of"]

_LENGTHS = {"length", "char_length", "character_length", "octet_length", "cardinality"}
#: Each comparison with its sides exchanged.
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>", "!=": "!="}


@dataclass(frozen=True)
class Limits:
    """The limits of a column's values. ``None`` means that there is none."""

    low: Any = None
    low_excluded: bool = False

    high: Any = None
    high_excluded: bool = False

    choices: tuple[Any, ...] = ()
    """All allowed values; empty if they are not listed."""

    shortest: int = 0
    longest: int | None = None
    pattern: str | None = None
    json_type: str | None = None

    def at_least(self, value: Any, excluded: bool) -> Limits:
        """Return limits with this lower bound, unless there is a higher one."""
        if self.low is not None and (self.low, self.low_excluded) >= (value, excluded):
            return self
        return replace(self, low=value, low_excluded=excluded)

    def at_most(self, value: Any, excluded: bool) -> Limits:
        """Return limits with this upper bound, unless there is a lower one."""
        if self.high is not None and (self.high, not self.high_excluded) <= (value, not excluded):
            return self
        return replace(self, high=value, high_excluded=excluded)


@dataclass(frozen=True)
class Order:
    """Two columns, the second of which must not be less than the first."""

    first: str
    then: str


def limits_of(checks: Iterable[Check]) -> dict[str, Limits]:
    """Return the limits of each column that a condition mentions alone, by name."""
    found: dict[str, Limits] = {}
    for check in checks:
        for part in _conjuncts(check.condition):
            columns = set(part.columns())
            if len(columns) == 1:
                (name,) = columns
                found[name] = _narrowed(found.get(name, Limits()), part)
    return found


def orders_of(checks: Iterable[Check]) -> list[Order]:
    """Return the pairs of columns that are compared by order."""
    found = []
    for check in checks:
        for part in _conjuncts(check.condition):
            if part.kind == "compare" and part.parts[0] in ("<", "<=", ">", ">="):
                sign, left, right = part.parts
                if left.kind == right.kind == "column":
                    sides = (left, right) if sign.startswith("<") else (right, left)
                    found.append(Order(sides[0].parts[0], sides[1].parts[0]))
    return found


def _conjuncts(parsed: Parsed) -> Iterator[Parsed]:
    """Yield the conditions that must all hold, assuming that nullable columns are not NULL."""
    if parsed.kind == "and":
        for part in parsed.parts:
            yield from _conjuncts(part)
    elif parsed.kind == "or":
        left = [part for part in parsed.parts if part.kind != "is null"]
        null = {name for part in parsed.parts if part.kind == "is null" for name in part.columns()}
        if len(left) == 1 and null and null <= set(left[0].columns()):
            yield from _conjuncts(left[0])
        elif not null and _is_choice(left):
            yield Parsed("in", (left[0].parts[1], *(part.parts[2] for part in left)))
    else:
        yield parsed


def _is_choice(parts: list[Parsed]) -> bool:
    """Return whether the alternatives have the form ``a = 'x' OR a = 'y'``."""
    return all(
        part.kind == "compare"
        and part.parts[0] == "="
        and part.parts[1] == parts[0].parts[1]
        and part.parts[2].kind == "literal"
        for part in parts
    ) and bool(parts)


def _narrowed(limits: Limits, parsed: Parsed) -> Limits:
    """Return the limits narrowed by one condition on the column, if it has a known form."""
    if parsed.kind == "in" and _is_column(parsed.parts[0]):
        items = [_literal(part) for part in parsed.parts[1:]]
        return limits if None in items else replace(limits, choices=tuple(items))
    if parsed.kind == "match" and parsed.parts[0] == "~" and _is_column(parsed.parts[1]):
        pattern = _literal(parsed.parts[2])
        return replace(limits, pattern=pattern) if isinstance(pattern, str) else limits
    if parsed.kind == "compare":
        return _compared(limits, *parsed.parts)
    return limits


def _compared(limits: Limits, sign: str, left: Parsed, right: Parsed) -> Limits:
    if _literal(left) is not None:
        sign, left, right = _MIRRORED[sign], right, left
    value = _literal(right)
    if value is None:
        return limits
    if _is_column(left):
        return _bounded(limits, sign, value)
    if left.kind == "call" and left.parts[0] in _LENGTHS | {"array_length"}:
        return _measured(limits, sign, value) if isinstance(value, int) else limits
    if left.kind == "call" and left.parts[0] in ("trim", "btrim") and (sign, value) == ("<>", ""):
        return replace(limits, shortest=max(limits.shortest, 1))
    if left.kind == "call" and left.parts[0] in ("jsonb_typeof", "json_typeof") and sign == "=":
        return replace(limits, json_type=str(value))
    return limits


def _bounded(limits: Limits, sign: str, value: Any) -> Limits:
    if sign == "=":
        return replace(limits, choices=(value,))
    if sign in ("<>", "!="):
        empty = value == ""
        return replace(limits, shortest=max(limits.shortest, 1)) if empty else limits
    if sign in (">", ">="):
        return limits.at_least(value, sign == ">")
    return limits.at_most(value, sign == "<")


def _measured(limits: Limits, sign: str, value: int) -> Limits:
    """Return limits with a minimal or maximal length."""
    shortest, longest = limits.shortest, limits.longest
    if sign in ("=", ">=", ">"):
        shortest = max(shortest, value + (sign == ">"))
    if sign in ("=", "<=", "<"):
        most = value - (sign == "<")
        longest = most if longest is None else min(longest, most)
    return replace(limits, shortest=shortest, longest=longest)


def _is_column(parsed: Parsed) -> bool:
    return parsed.kind == "column"


def _literal(parsed: Parsed) -> Any:
    if parsed.kind == "literal":
        return parsed.parts[0]
    if parsed.kind == "arithmetic" and parsed.parts[0] == "-" and parsed.parts[1].parts == (0,):
        value = _literal(parsed.parts[2])
        return None if value is None else -value
    return None
