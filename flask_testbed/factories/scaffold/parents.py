"""The parents of a row, which are created with it if they are required."""

from __future__ import annotations

import re

from .draft import FactoryDraft
from .keys import Link, common_to, is_same
from .python import FACTORY, call
from .values import Value

__all__ = ["add_parents"]


def add_parents(draft: FactoryDraft) -> None:
    """Decide how each foreign key is set."""
    done: list[tuple[Link, str]] = []
    for link in sorted(draft.links, key=lambda link: (not link.required, len(link.columns))):
        if not link.required:
            _add_optional(draft, link)
        elif is_same(link.parent, draft.mapper):
            _refer_to_itself(draft, link)
        else:
            _add_required(draft, link, done)


def _sub_factory(factory: str, **keywords: str) -> str:
    return call(f"{FACTORY}.SubFactory", factory, **keywords)


def _self_attribute(path: str) -> str:
    return call(f"{FACTORY}.SelfAttribute", repr(path))


def _add_required(draft: FactoryDraft, link: Link, done: list[tuple[Link, str]]) -> None:
    """Add a parent.

    :param done: the foreign keys that were added before, with the attributes of their parents.
    """
    factory = draft.refer_to(link.parent)
    if factory is None:
        names = ", ".join(column.name for column in link.columns)
        draft.plan.comments.append(f"{names}: {link.parent} has no factory.")
        return
    shared = _shared(link, done)
    sub_factory = _sub_factory(factory, **shared)
    if link.relation is not None:
        attribute = link.relation.key
        draft.parents[attribute] = sub_factory
    else:
        attribute = _free_name(draft, link)
        draft.plan.params[attribute] = sub_factory
        for column, referred in link.pairs():
            path = f"{attribute}.{link.parent.get_property_by_column(referred).key}"
            draft.values.setdefault(column.name, Value(_self_attribute(path)))
    done.append((link, attribute))
    for column in link.columns:
        draft.keys[column] = sub_factory
    if not shared:
        draft.fresh.update(column.name for column in link.columns)


def _shared(link: Link, done: list[tuple[Link, str]]) -> dict[str, str]:
    """Return what a parent takes over from the parents that were added before.

    Two foreign keys that have a column in common, such as a tenant's, must refer to rows of the
    same tenant.
    """
    shared: dict[str, str] = {}
    for column, referred in link.pairs():
        for other, attribute in done:
            for their_column, theirs in other.pairs():
                if their_column is column:
                    path, key = common_to(link.parent, referred, other.parent, theirs, attribute)
                    shared[key] = _self_attribute(f"..{path}")
    return shared


def _refer_to_itself(draft: FactoryDraft, link: Link) -> None:
    """Let a row that must refer to a row of its own table refer to itself."""
    for column, referred in link.pairs():
        if column is referred:
            continue
        numbered = referred is referred.table.autoincrement_column
        if numbered or referred.server_default is not None:
            draft.plan.comments.append(
                f"{column.name} is not nullable and refers to a row of the same table: pass it."
            )
        source = _self_attribute(draft.key(referred))
        draft.values[column.name] = Value(source)
        draft.keys[column] = source


def _add_optional(draft: FactoryDraft, link: Link) -> None:
    """Leave a foreign key empty, except with the trait for optional values."""
    for column in link.columns:
        draft.keys.setdefault(column, None)
    if any(not column.nullable for column in link.columns) or link.relation is None:
        return
    factory = draft.refer_to(link.parent)
    if factory is not None and len(link.columns) == 1:
        draft.optional[link.columns[0].name] = Value(_sub_factory(factory))
        draft.relations[link.columns[0].name] = link.relation.key


def _free_name(draft: FactoryDraft, link: Link) -> str:
    """Return a name for the parameter that holds a parent without a relationship."""
    names = "_".join(re.sub("_id$", "", column.name) for column in link.columns)
    taken = {*draft.mapper.attrs.keys(), *draft.plan.params, "token"}
    return next(one for one in (names, f"{names}_row", f"{names}_parent") if one not in taken)
