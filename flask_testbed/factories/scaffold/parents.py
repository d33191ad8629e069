"""The parents of a row: each required one is made with it."""

from __future__ import annotations

import re

from .draft import Draft
from .keys import Link, common_to, is_same
from .python import Expression, call, literal, raw
from .values import FACTORY, Value

__all__ = ["fill_links"]


def fill_links(draft: Draft) -> None:
    used: list[tuple[Link, str]] = []
    for link in sorted(draft.links, key=lambda link: (not link.required, len(link.columns))):
        if link.required:
            _require(draft, link, used)
        else:
            _offer(draft, link)


def _require(draft: Draft, link: Link, used: list[tuple[Link, str]]) -> None:
    if is_same(link.parent, draft.mapper):
        _point_to_itself(draft, link)
        return
    factory = draft.target(link.parent)
    if factory is None:
        names = ", ".join(column.name for column in link.columns)
        draft.made.comments.append(f"{names}: there is no model of {link.parent} to make.")
        return
    shared = _shared(draft, link, used)
    sub = call(raw("factory.SubFactory", FACTORY), factory, **shared)
    if link.relation is not None:
        attribute = link.relation.key
        draft.parents[attribute] = sub
    else:
        attribute = _free_name(draft, link)
        draft.made.params[attribute] = sub
        for column, referred in link.pairs():
            path = f"{attribute}.{link.parent.get_property_by_column(referred).key}"
            value = call(raw("factory.SelfAttribute", FACTORY), literal(path))
            draft.values.setdefault(column.name, Value(value))
    used.append((link, attribute))
    for column in link.columns:
        draft.filled[column] = sub
    if not shared:
        draft.fresh.update(column.name for column in link.columns)


def _shared(draft: Draft, link: Link, used: list[tuple[Link, str]]) -> dict[str, Expression]:
    """What this parent must have in common with one that is made before.

    Two keys that share a column, such as a tenant's, must lead to rows of one tenant.
    """
    shared: dict[str, Expression] = {}
    for column, referred in link.pairs():
        for other, attribute in used:
            for their_column, theirs in other.pairs():
                if their_column is column:
                    path, key = common_to(link.parent, referred, other.parent, theirs, attribute)
                    shared[key] = call(raw("factory.SelfAttribute", FACTORY), literal(f"..{path}"))
    return shared


def _point_to_itself(draft: Draft, link: Link) -> None:
    """A row that must have a parent of its own kind can be its own."""
    for column, referred in link.pairs():
        if column is referred:
            continue
        counted = referred is referred.table.autoincrement_column
        if counted or referred.server_default is not None:
            draft.made.comments.append(
                f"{column.name} refers to another row of the same table, and is not null: give it."
            )
        path = literal(draft.key(referred))
        draft.values[column.name] = Value(call(raw("factory.SelfAttribute", FACTORY), path))
        draft.filled[column] = draft.values[column.name].expression


def _offer(draft: Draft, link: Link) -> None:
    """An optional parent: none, unless all that is optional is asked for."""
    for column in link.columns:
        draft.filled.setdefault(column, None)
    if any(not column.nullable for column in link.columns) or link.relation is None:
        return
    factory = draft.target(link.parent)
    if factory is not None and len(link.columns) == 1:
        sub = call(raw("factory.SubFactory", FACTORY), factory)
        draft.optional[link.columns[0].name] = Value(sub)
        draft.relations[link.columns[0].name] = link.relation.key


def _free_name(draft: Draft, link: Link) -> str:
    names = "_".join(re.sub("_id$", "", column.name) for column in link.columns)
    taken = {*draft.mapper.attrs.keys(), *draft.made.params, "token"}
    return next(one for one in (names, f"{names}_row", f"{names}_parent") if one not in taken)
