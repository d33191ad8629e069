"""What the constraints of a table leave open for one of its columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from .checks import Check
from .expressions import Node

__all__ = ["Limits", "Order", "limits_of", "orders_of"]

_LENGTHS = {"length", "char_length", "character_length", "octet_length", "cardinality"}
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>", "!=": "!="}
_SMALLEST = {int: 1, Decimal: Decimal("0.01")}


@dataclass(frozen=True)
class Limits:
    """The values that a column takes. ``None`` is no limit."""

    low: Any = None
    above: bool = False
    """Whether ``low`` itself is too low."""

    high: Any = None
    below: bool = False
    """Whether ``high`` itself is too high."""

    choices: tuple[Any, ...] = ()
    shortest: int = 0
    longest: int | None = None
    pattern: str | None = None
    json_type: str | None = None

    def at_least(self, value: Any, above: bool) -> Limits:
        """With a lower bound, unless there is a higher one."""
        if self.low is not None and (self.low, self.above) >= (value, above):
            return self
        return replace(self, low=value, above=above)

    def at_most(self, value: Any, below: bool) -> Limits:
        """With an upper bound, unless there is a lower one."""
        if self.high is not None and (self.high, not self.below) <= (value, not below):
            return self
        return replace(self, high=value, below=below)


@dataclass(frozen=True)
class Order:
    """That one column is not less than another: the end is not before the start."""

    first: str
    then: str
    strict: bool


def limits_of(checks: Iterable[Check]) -> dict[str, Limits]:
    """What can be told of single columns, by name."""
    found: dict[str, Limits] = {}
    for check in checks:
        for part in _conjuncts(check.node):
            columns = set(part.columns())
            if len(columns) == 1:
                (name,) = columns
                found[name] = _narrowed(found.get(name, Limits()), part)
    return found


def orders_of(checks: Iterable[Check]) -> list[Order]:
    """Every column that must not be less than another."""
    found = []
    for check in checks:
        for part in _conjuncts(check.node):
            if part.kind == "compare" and part.parts[0] in ("<", "<=", ">", ">="):
                sign, left, right = part.parts
                if left.kind == right.kind == "column":
                    sides = (left, right) if sign.startswith("<") else (right, left)
                    found.append(Order(sides[0].parts[0], sides[1].parts[0], "=" not in sign))
    return found


def _conjuncts(node: Node) -> Iterator[Node]:
    """What must hold, piece by piece; of a column that may be null, what holds if it is not."""
    if node.kind == "and":
        for part in node.parts:
            yield from _conjuncts(part)
    elif node.kind == "or":
        left = [part for part in node.parts if part.kind != "is null"]
        null = {name for part in node.parts if part.kind == "is null" for name in part.columns()}
        if len(left) == 1 and null and null <= set(left[0].columns()):
            yield from _conjuncts(left[0])
        elif not null and _is_choice(left):
            yield Node("in", (left[0].parts[1], *(part.parts[2] for part in left)))
    else:
        yield node


def _is_choice(parts: list[Node]) -> bool:
    """Whether it is ``a = 'x' OR a = 'y'``."""
    return all(
        part.kind == "compare"
        and part.parts[0] == "="
        and part.parts[1] == parts[0].parts[1]
        and part.parts[2].kind == "literal"
        for part in parts
    ) and bool(parts)


def _narrowed(limits: Limits, node: Node) -> Limits:
    """The limits, after what one condition says of the column; the same ones if it says else."""
    if node.kind == "in" and _is_column(node.parts[0]):
        items = [_literal(part) for part in node.parts[1:]]
        return limits if None in items else replace(limits, choices=tuple(items))
    if node.kind == "match" and node.parts[0] == "~" and _is_column(node.parts[1]):
        pattern = _literal(node.parts[2])
        return replace(limits, pattern=pattern) if isinstance(pattern, str) else limits
    if node.kind == "compare":
        return _compared(limits, *node.parts)
    return limits


def _compared(limits: Limits, sign: str, left: Node, right: Node) -> Limits:
    if _literal(left) is not None:
        sign, left, right = _TURNED[sign], right, left
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
    """How long it must be, and may be."""
    shortest, longest = limits.shortest, limits.longest
    if sign in ("=", ">=", ">"):
        shortest = max(shortest, value + (sign == ">"))
    if sign in ("=", "<=", "<"):
        most = value - (sign == "<")
        longest = most if longest is None else min(longest, most)
    return replace(limits, shortest=shortest, longest=longest)


def _is_column(node: Node) -> bool:
    return node.kind == "column"


def _literal(node: Node) -> Any:
    if node.kind == "literal":
        return node.parts[0]
    if node.kind == "arithmetic" and node.parts[0] == "-" and node.parts[1].parts == (0,):
        value = _literal(node.parts[2])
        return None if value is None else -value
    return None


def text_like(pattern: str) -> str | None:
    """The plainest text that a regular expression matches; ``None`` if it is not a simple one."""
    try:
        parsed = re._parser.parse(pattern)  # type: ignore[attr-defined]  # no public one
        text = "".join(_plainest(parsed))
    except (re.error, LookupError, ValueError):
        return None
    return text if re.search(pattern, text) else None


_CATEGORIES = {"CATEGORY_DIGIT": "1", "CATEGORY_WORD": "a", "CATEGORY_SPACE": " "}


def _plainest(parsed: Any) -> Iterator[str]:
    for operation, value in parsed:
        match str(operation):
            case "LITERAL":
                yield chr(value)
            case "ANY":
                yield "a"
            case "IN":
                yield from _plainest(value[:1])
            case "RANGE":
                yield chr(value[0])
            case "CATEGORY":
                yield _CATEGORIES[str(value)]
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, part = value
                yield "".join(_plainest(part)) * max(least, min(most, 1))
            case "SUBPATTERN":
                yield from _plainest(value[-1])
            case "BRANCH":
                yield from _plainest(value[1][0])
            case "AT":
                pass
            case other:
                raise ValueError(other)
