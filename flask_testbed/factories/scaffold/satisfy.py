"""Values that obey the constraints of a table together, not only one by one."""

from __future__ import annotations

import itertools
from datetime import date, timedelta
from typing import Any

from .column_kinds import Kind, kind_of, members_of
from .constraints.checks import SOMETHING
from .constraints.limits import Limits, Order, orders_of
from .draft import Draft
from .python import call, literal, name, raw
from .values import DECLARATIONS, FACTORY, Value, constant

__all__ = ["obey", "put_in_order"]

#: How many rows are tried to find one that all constraints accept.
PATIENCE = 20_000


def put_in_order(draft: Draft) -> None:
    """Let what must not be less than something else be more."""
    for order in orders_of(draft.checks):
        if order.first not in draft.columns or order.then not in draft.columns:
            continue
        for values in (draft.values, draft.optional):
            if order.then in values:
                _put_after(draft, order, values)


def _put_after(draft: Draft, order: Order, values: dict[str, Value]) -> None:
    column = draft.columns[order.first]
    first = draft.values.get(order.first) or values.get(order.first)
    if first is None and draft.is_left_out(column):
        # Its default may be any value, so that nothing is sure to be more.
        first = draft.value(column)
        if first is not None:
            values[order.first] = first
    if first is None:
        return
    kind, start = kind_of(draft.columns[order.then].type), draft.key(column)
    if kind in (Kind.MOMENT, Kind.DAY):
        spans = [raw(f"timedelta(days={days})", ("datetime", "timedelta")) for days in (1, 30)]
        after = call(name(DECLARATIONS, "After"), literal(start), *spans)
        values[order.then] = Value(after, _later(first.example), values[order.then].injective)
    elif kind in (Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT) and _has_room(draft, order):
        function = raw(f"lambda {draft.owner}: {draft.owner}.{start} + 1")
        more = call(raw("factory.LazyAttribute", FACTORY), function)
        example = first.example + 1 if first.example is not SOMETHING else SOMETHING
        values[order.then] = Value(more, example, first.injective)


def _has_room(draft: Draft, order: Order) -> bool:
    """Whether the greater of two numbers has no limit of its own that one more could exceed."""
    return draft.limits.get(order.then, Limits()).high is None


def _later(example: Any) -> Any:
    return example + timedelta(days=2) if isinstance(example, date) else SOMETHING


def obey(draft: Draft) -> None:
    """Find values that no constraint refuses, changing as few as can be."""
    _pin(draft)
    _settle(draft, draft.values, full=False)
    _settle(draft, draft.optional, full=True)


def _pin(draft: Draft) -> None:
    """Random numbers that a constraint compares with other columns: leave nothing to luck."""
    ordered = {(order.first, order.then) for order in orders_of(draft.checks)}
    for check in draft.checks:
        numbers = [one for one in check.columns if _is_random_number(draft, one)]
        pairs = {(one, other) for one in check.columns for other in check.columns}
        if len(check.columns) > 1 and not pairs & ordered:
            for one in numbers:
                values = draft.values if one in draft.values else draft.optional
                values[one] = constant(draft.columns[one], values[one].example)


def _is_random_number(draft: Draft, column_name: str) -> bool:
    value = draft.values.get(column_name) or draft.optional.get(column_name)
    return value is not None and "Fuzzy" in value.expression.text


def _settle(draft: Draft, values: dict[str, Value], *, full: bool) -> None:
    row = draft.row({**draft.values, **draft.optional} if full else draft.values)
    refusing = [check for check in draft.checks if check.refuses(row)]
    if not refusing:
        return
    names = sorted({one for check in refusing for one in check.columns} & draft.columns.keys())
    choices = [_choices(draft, one, row, full=full) for one in names]
    best = _search(draft, names, choices, row)
    if best is None:
        for check in refusing:
            draft.made.comments.append(f"{check.name}: see that the values obey it.")
        return
    for one, example in best.items():
        if example is not row.get(one, SOMETHING):
            _set(draft, one, example, values)


def _choices(draft: Draft, column_name: str, row: dict[str, Any], *, full: bool) -> list[Any]:
    """What a column may be: first what it is."""
    column = draft.columns[column_name]
    now = row.get(column_name, SOMETHING)
    found = [now]
    if column in draft.filled and column_name not in draft.optional:
        return found
    value = draft.optional.get(column_name) or draft.value(column, unique=False)
    if value is not None and now is None and not full:
        found.append(value.example)
    found += [stored for _, stored in members_of(column.type)]
    found += draft.limits.get(column_name, Limits()).choices
    if kind_of(column.type) is Kind.TRUTH:
        found += [False, True]
    if kind_of(column.type) in (Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT):
        found += [0, 1, 2, 10, 100]
    # Last, so that what is optional is left out only if it cannot be there.
    if column.nullable and now is not None:
        found.append(None)
    return found


def _search(
    draft: Draft, names: list[str], choices: list[list[Any]], row: dict[str, Any]
) -> dict[str, Any] | None:
    indices = [range(len(found)) for found in choices]
    tried = itertools.islice(itertools.product(*indices), PATIENCE)
    # The first choice is what is there: the fewer change, the better.
    for picked in sorted(tried, key=lambda one: (sum(map(bool, one)), one)):
        candidate = {
            one: choices[i][at] for i, (one, at) in enumerate(zip(names, picked, strict=True))
        }
        if not any(check.refuses({**row, **candidate}) for check in draft.checks):
            return candidate
    return None


def _set(draft: Draft, column_name: str, example: Any, values: dict[str, Value]) -> None:
    column = draft.columns[column_name]
    if example is None:
        draft.optional.pop(column_name, None)
        if values is draft.values:
            values.pop(column_name, None)
        if draft.is_left_out(column) or column_name in draft.values:
            values[column_name] = Value(literal(None), None)
        return
    known = draft.optional.get(column_name)
    if known is not None and (known.example is example or known.example == example):
        # Optional by its column, and required all the same.
        if values is draft.values:
            draft.values[column_name] = draft.optional.pop(column_name)
        return
    values[column_name] = constant(column, example)
    if values is draft.values:
        draft.optional.pop(column_name, None)
