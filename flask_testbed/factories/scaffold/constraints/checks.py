"""What a CHECK constraint says of a row.

Three-valued logic as in SQL: ``None`` is NULL, and a constraint holds unless it is false
(https://www.postgresql.org/docs/current/ddl-constraints.html#DDL-CONSTRAINTS-CHECK-CONSTRAINTS).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .expressions import Node, Unknown

__all__ = ["SOMETHING", "Check"]

#: A value that is not known, and is not NULL.
SOMETHING = object()


@dataclass(frozen=True)
class Check:
    """A constraint that could be parsed."""

    name: str
    node: Node

    @property
    def columns(self) -> frozenset[str]:
        """Those that it is about, by the database's names."""
        return frozenset(self.node.columns())

    def refuses(self, row: Mapping[str, Any]) -> bool:
        """Whether a row certainly breaks it. What is not in the row is not known.

        :param row: values as they are in the database, by column.
        """
        try:
            return evaluate(self.node, row) is False
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

#: Functions of one argument, which are NULL if that is.
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


def evaluate(node: Node, row: Mapping[str, Any]) -> Any:
    """The value of an expression for a row.

    :raises Unknown: it depends on what is not in the row, or on a function that is not known.
    """
    try:
        return _EVALUATE[node.kind](node, row)
    except (TypeError, ValueError, ArithmeticError, AttributeError, KeyError, re.error) as error:
        raise Unknown(str(error)) from error


def _column(node: Node, row: Mapping[str, Any]) -> Any:
    return row[node.parts[0]]


def _both(node: Node, row: Mapping[str, Any]) -> bool | None:
    return _decided(node, row, False)


def _either(node: Node, row: Mapping[str, Any]) -> bool | None:
    return _decided(node, row, True)


def _decided(node: Node, row: Mapping[str, Any], decisive: bool) -> bool | None:
    """One operand may decide, whatever the others are."""
    values, unknown = [], None
    for part in node.parts:
        try:
            values.append(evaluate(part, row))
        except Unknown as error:
            unknown = error
    if decisive in values:
        return decisive
    if unknown is not None:
        raise unknown
    return None if None in values else not decisive


def _not(node: Node, row: Mapping[str, Any]) -> bool | None:
    value = evaluate(node.parts[0], row)
    return None if value is None else not value


def _operands(parts: Iterable[Node], row: Mapping[str, Any]) -> list[Any]:
    """The values of operands. Of one that is only known to be there, nothing can be told."""
    values = [evaluate(part, row) for part in parts]
    if SOMETHING in values:
        raise Unknown("a value")
    return values


def _compare(node: Node, row: Mapping[str, Any]) -> bool | None:
    sign, *sides = node.parts
    left, right = _operands(sides, row)
    if left is None or right is None:
        return None
    # Python finds True to be 1, and a text never equal to a number, which the database may cast.
    if any(isinstance(left, one) != isinstance(right, one) for one in (bool, str)):
        raise Unknown(f"{left!r} {sign} {right!r}")
    return bool(_ORDER[sign](left, right))


def _match(node: Node, row: Mapping[str, Any]) -> bool | None:
    sign, *sides = node.parts
    text, pattern = _operands(sides, row)
    if text is None or pattern is None:
        return None
    found = re.search(pattern, text, re.IGNORECASE if "*" in sign else 0) is not None
    return found is not sign.startswith("!")


def _like(node: Node, row: Mapping[str, Any]) -> bool | None:
    text, pattern = _operands(node.parts, row)
    if text is None or pattern is None:
        return None
    wild = re.escape(pattern).replace("%", ".*").replace("_", ".")
    return re.fullmatch(wild, text, re.DOTALL) is not None


def _in(node: Node, row: Mapping[str, Any]) -> bool | None:
    value, *items = _operands(node.parts, row)
    if value is None:
        return None
    return True if value in items else None if None in items else False


def _arithmetic(node: Node, row: Mapping[str, Any]) -> Any:
    sign, *sides = node.parts
    left, right = _operands(sides, row)
    return None if left is None or right is None else _ARITHMETIC[sign](left, right)


def _call(node: Node, row: Mapping[str, Any]) -> Any:
    name, *parts = node.parts
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


_EVALUATE: dict[str, Callable[[Node, Mapping[str, Any]], Any]] = {
    "literal": lambda node, row: node.parts[0],
    "array": lambda node, row: [evaluate(part, row) for part in node.parts],
    "column": _column,
    "and": _both,
    "or": _either,
    "not": _not,
    "compare": _compare,
    "match": _match,
    "like": _like,
    "in": _in,
    "is": lambda node, row: evaluate(node.parts[0], row) is node.parts[1],
    "is null": lambda node, row: evaluate(node.parts[0], row) is None,
    "arithmetic": _arithmetic,
    "call": _call,
}
