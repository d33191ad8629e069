"""Whether a row satisfies a CHECK constraint.

The logic is three-valued as in SQL: ``None`` is NULL, and a constraint holds unless it is false
(https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-CHECK-CONSTRAINTS).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .expressions import Parsed, Unknown

__all__ = ["SOMETHING", "Check"]

#: Stands for a value of which is known only that it is not NULL.
SOMETHING = object()


@dataclass(frozen=True)
class Check:
    """A CHECK constraint that could be parsed."""

    name: str
    condition: Parsed

    @property
    def columns(self) -> frozenset[str]:
        """Names of the columns that it mentions, as they are in the database."""
        return frozenset(self.condition.columns())

    def refuses(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row certainly violates it.

        :param row: values as they are stored, by column. A column that is missing is unknown.
        """
        try:
            return evaluate(self.condition, row) is False
        except Unknown:
            return False


_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
    "||": operator.add,
}

_JSON_TYPES = {dict: "object", list: "array", str: "string", bool: "boolean"}

#: Functions of one argument that are NULL if the argument is.
_STRICT: dict[str, Callable[[Any], Any]] = {
    "length": len,
    "char_length": len,
    "character_length": len,
    "octet_length": len,
    "cardinality": len,
    "jsonb_array_length": len,
    "lower": str.lower,
    "upper": str.upper,
    "trim": str.strip,
    "btrim": str.strip,
    "ltrim": str.lstrip,
    "rtrim": str.rstrip,
    "abs": abs,
    "jsonb_typeof": lambda value: _JSON_TYPES.get(type(value), "number"),
    "json_typeof": lambda value: _JSON_TYPES.get(type(value), "number"),
}


def evaluate(parsed: Parsed, row: Mapping[str, Any]) -> Any:
    """Return the value of an expression for a row.

    :raises Unknown: the value depends on a column that the row lacks, or on an unknown function.
    """
    try:
        return _EVALUATE[parsed.kind](parsed, row)
    except (TypeError, ValueError, ArithmeticError, AttributeError, KeyError, re.error) as error:
        raise Unknown(str(error)) from error


def _column(parsed: Parsed, row: Mapping[str, Any]) -> Any:
    return row[parsed.parts[0]]


def _both(parsed: Parsed, row: Mapping[str, Any]) -> bool | None:
    return _decided(parsed, row, False)


def _either(parsed: Parsed, row: Mapping[str, Any]) -> bool | None:
    return _decided(parsed, row, True)


def _decided(parsed: Parsed, row: Mapping[str, Any], decisive: bool) -> bool | None:
    """Evaluate AND or OR. One decisive operand settles it, even if others are unknown."""
    values, unknown = [], None
    for part in parsed.parts:
        try:
            values.append(evaluate(part, row))
        except Unknown as error:
            unknown = error
    if decisive in values:
        return decisive
    if unknown is not None:
        raise unknown
    return None if None in values else not decisive


def _not(parsed: Parsed, row: Mapping[str, Any]) -> bool | None:
    value = evaluate(parsed.parts[0], row)
    return None if value is None else not value


def _operands(parts: Iterable[Parsed], row: Mapping[str, Any]) -> list[Any]:
    """Return the values of operands.

    :raises Unknown: one of them is only known not to be NULL.
    """
    values = [evaluate(part, row) for part in parts]
    if SOMETHING in values:
        raise Unknown("a value that is only known not to be NULL")
    return values


def _compare(parsed: Parsed, row: Mapping[str, Any]) -> bool | None:
    sign, *sides = parsed.parts
    left, right = _operands(sides, row)
    if left is None or right is None:
        return None
    # In Python, True equals 1, and a text never equals a number; the database may cast it.
    if any(isinstance(left, one) != isinstance(right, one) for one in (bool, str)):
        raise Unknown(f"{left!r} {sign} {right!r}")
    return bool(_ORDER[sign](left, right))


def _match(parsed: Parsed, row: Mapping[str, Any]) -> bool | None:
    sign, *sides = parsed.parts
    text, pattern = _operands(sides, row)
    if text is None or pattern is None:
        return None
    found = re.search(pattern, text, re.IGNORECASE if "*" in sign else 0) is not None
    return found is not sign.startswith("!")


def _like(parsed: Parsed, row: Mapping[str, Any]) -> bool | None:
    text, pattern = _operands(parsed.parts, row)
    if text is None or pattern is None:
        return None
    wild = re.escape(pattern).replace("%", ".*").replace("_", ".")
    return re.fullmatch(wild, text, re.DOTALL) is not None


def _in(parsed: Parsed, row: Mapping[str, Any]) -> bool | None:
    value, *items = _operands(parsed.parts, row)
    if value is None:
        return None
    return True if value in items else None if None in items else False


def _arithmetic(parsed: Parsed, row: Mapping[str, Any]) -> Any:
    sign, *sides = parsed.parts
    left, right = _operands(sides, row)
    return None if left is None or right is None else _ARITHMETIC[sign](left, right)


def _call(parsed: Parsed, row: Mapping[str, Any]) -> Any:
    name, *parts = parsed.parts
    if name in ("num_nonnulls", "num_nulls"):
        values = [evaluate(part, row) for part in parts]
        nulls = sum(value is None for value in values)
        return nulls if name == "num_nulls" else len(values) - nulls
    values = _operands(parts, row)
    if name == "coalesce":
        return next((value for value in values if value is not None), None)
    if name == "array_length":
        return (len(values[0]) or None) if values[0] is not None else None
    return None if values[0] is None else _STRICT[name](values[0])


_EVALUATE: dict[str, Callable[[Parsed, Mapping[str, Any]], Any]] = {
    "literal": lambda parsed, row: parsed.parts[0],
    "array": lambda parsed, row: [evaluate(part, row) for part in parsed.parts],
    "column": _column,
    "and": _both,
    "or": _either,
    "not": _not,
    "compare": _compare,
    "match": _match,
    "like": _like,
    "in": _in,
    "is": lambda parsed, row: evaluate(parsed.parts[0], row) is parsed.parts[1],
    "is null": lambda parsed, row: evaluate(parsed.parts[0], row) is None,
    "arithmetic": _arithmetic,
    "call": _call,
}
