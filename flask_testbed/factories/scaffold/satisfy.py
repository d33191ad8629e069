"""Values that satisfy the CHECK constraints on several columns together."""

from __future__ import annotations

import itertools
from datetime import date, timedelta
from typing import Any

from .column_kinds import Kind, kind_of, members_of
from .constraints.checks import SOMETHING
from .constraints.limits import Limits, Order, orders_of
from .draft import FactoryDraft
from .python import FACTORY, call, name
from .times import days
from .values import DECLARATIONS, Value, constant

__all__ = ["satisfy_checks", "satisfy_orders"]

#: The number of combinations of values that are tried.
MOST_COMBINATIONS = 20_000

_NUMBERS = (Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT)


def satisfy_orders(draft: FactoryDraft) -> None:
    """Derive each value that must not be less than another one from that one."""
    for order in orders_of(draft.checks):
        if order.first not in draft.columns or order.then not in draft.columns:
            continue
        for values in (draft.values, draft.optional):
            if order.then in values:
                _put_after(draft, order, values)


def _put_after(draft: FactoryDraft, order: Order, values: dict[str, Value]) -> None:
    column = draft.columns[order.first]
    first = draft.values.get(order.first) or values.get(order.first)
    if first is None and draft.is_left_out(column):
        # A default may be any value, and nothing is certain to be greater.
        first = draft.value(column)
        if first is not None:
            values[order.first] = first
    if first is None:
        return
    kind, attribute = kind_of(draft.columns[order.then].type), draft.key(column)
    if kind in (Kind.DATETIME, Kind.DATE):
        after = call(name(DECLARATIONS, "After"), repr(attribute), days(1), days(30))
        values[order.then] = Value(after, _later(first.example), values[order.then].unique)
    elif kind in _NUMBERS and draft.limits.get(order.then, Limits()).high is None:
        function = f"lambda {draft.row_name}: {draft.row_name}.{attribute} + 1"
        example = first.example + 1 if first.example is not SOMETHING else SOMETHING
        source = call(f"{FACTORY}.LazyAttribute", function)
        values[order.then] = Value(source, example, first.unique)


def _later(example: Any) -> Any:
    return example + timedelta(days=2) if isinstance(example, date) else SOMETHING


def satisfy_checks(draft: FactoryDraft) -> None:
    """Find values that no constraint refuses, with as few changes as possible."""
    _fix_random_numbers(draft)
    _satisfy(draft, draft.values, full=False)
    _satisfy(draft, draft.optional, full=True)


def _fix_random_numbers(draft: FactoryDraft) -> None:
    """Make random numbers constant where a constraint compares them with other columns."""
    ordered = {(order.first, order.then) for order in orders_of(draft.checks)}
    for check in draft.checks:
        numbers = [one for one in check.columns if _is_random_number(draft, one)]
        pairs = {(one, other) for one in check.columns for other in check.columns}
        if len(check.columns) > 1 and not pairs & ordered:
            for one in numbers:
                values = draft.values if one in draft.values else draft.optional
                values[one] = constant(draft.columns[one], values[one].example)


def _is_random_number(draft: FactoryDraft, column_name: str) -> bool:
    value = draft.values.get(column_name) or draft.optional.get(column_name)
    return value is not None and "Fuzzy" in value.source


def _satisfy(draft: FactoryDraft, values: dict[str, Value], *, full: bool) -> None:
    row = draft.row({**draft.values, **draft.optional} if full else draft.values)
    refusing = [check for check in draft.checks if check.refuses(row)]
    if not refusing:
        return
    names = sorted({one for check in refusing for one in check.columns} & draft.columns.keys())
    choices = [_choices(draft, one, row, full=full) for one in names]
    found = _search(draft, names, choices, row)
    if found is None:
        for check in refusing:
            draft.plan.comments.append(f"{check.name}: choose values that satisfy it.")
        return
    for one, example in found.items():
        if example is not row.get(one, SOMETHING):
            _set(draft, one, example, values)


def _choices(
    draft: FactoryDraft, column_name: str, row: dict[str, Any], *, full: bool
) -> list[Any]:
    """Return the values that a column may have, first the one that it has."""
    column = draft.columns[column_name]
    now = row.get(column_name, SOMETHING)
    found = [now]
    if column in draft.keys and column_name not in draft.optional:
        return found
    value = draft.optional.get(column_name) or draft.value(column, unique=False)
    if value is not None and now is None and not full:
        found.append(value.example)
    found += [stored for _, stored in members_of(column.type)]
    found += draft.limits.get(column_name, Limits()).choices
    if kind_of(column.type) is Kind.BOOLEAN:
        found += [False, True]
    if kind_of(column.type) in _NUMBERS:
        found += [0, 1, 2, 10, 100]
    # An optional value is left out only if nothing else satisfies the constraints.
    if column.nullable and now is not None:
        found.append(None)
    return found


def _search(
    draft: FactoryDraft, names: list[str], choices: list[list[Any]], row: dict[str, Any]
) -> dict[str, Any] | None:
    indices = [range(len(found)) for found in choices]
    combinations = itertools.islice(itertools.product(*indices), MOST_COMBINATIONS)
    # Index 0 is the present value: try the combinations with the fewest changes first.
    for picked in sorted(combinations, key=lambda one: (sum(map(bool, one)), one)):
        candidate = {
            one: choices[i][at] for i, (one, at) in enumerate(zip(names, picked, strict=True))
        }
        if not any(check.refuses({**row, **candidate}) for check in draft.checks):
            return candidate
    return None


def _set(draft: FactoryDraft, column_name: str, example: Any, values: dict[str, Value]) -> None:
    column = draft.columns[column_name]
    if example is None:
        draft.optional.pop(column_name, None)
        if values is draft.values:
            values.pop(column_name, None)
        if draft.is_left_out(column) or column_name in draft.values:
            values[column_name] = Value("None", None)
        return
    known = draft.optional.get(column_name)
    if known is not None and (known.example is example or known.example == example):
        # The column is nullable, but a constraint requires a value.
        if values is draft.values:
            draft.values[column_name] = draft.optional.pop(column_name)
        return
    values[column_name] = constant(column, example)
    if values is draft.values:
        draft.optional.pop(column_name, None)
