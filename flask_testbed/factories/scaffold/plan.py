"""What a factory of a model declares: from its columns, constraints and relations."""

from __future__ import annotations

from dataclasses import is_dataclass
from inspect import signature
from typing import Any

from sqlalchemy.orm import Mapper

from .draft import Draft, Plan, Target
from .parents import fill_links
from .python import Expression, call, literal, name, raw
from .satisfy import obey, put_in_order
from .uniqueness import differ
from .values import DECLARATIONS, FACTORY

__all__ = ["plan"]


def plan(mapper: Mapper[Any], target: Target) -> Plan:
    """Plan the factory of a model.

    :param target: how to refer to other factories.
    """
    draft = Draft(mapper, target)
    fill_links(draft)
    _fill_columns(draft)
    differ(draft)
    put_in_order(draft)
    obey(draft)
    _declare(draft)
    _fit_the_constructor(draft)
    return draft.made


def _fill_columns(draft: Draft) -> None:
    for name_, column in draft.columns.items():
        if column in draft.filled or name_ in draft.values or draft.is_left_out(column):
            continue
        value = draft.value(column)
        if value is None:
            if not column.nullable:
                draft.made.comments.append(f"{draft.key(column)}: no value for {column.type}.")
        elif column.nullable and not column.primary_key:
            draft.optional[name_] = value
        else:
            draft.values[name_] = value


def _declare(draft: Draft) -> None:
    order = [attribute.key for attribute in draft.mapper.attrs]
    named = {draft.key(draft.columns[one]): value for one, value in draft.values.items()}
    attributes = {key: value.expression for key, value in named.items()} | draft.parents
    places = {key: place for place, key in enumerate(order)}
    for key, link in ((link.relation.key, link) for link in draft.links if link.relation):
        # A relation stands where its column does.
        places[key] = min(places[draft.key(column)] for column in link.columns)
    for key in sorted(attributes, key=lambda one: places.get(one, 999)):
        draft.made.attributes[key] = attributes[key]
    draft.made.full = {
        draft.relations.get(one) or draft.key(draft.columns[one]): value.expression
        for one, value in draft.optional.items()
    }
    draft.made.looked_up = tuple(
        key for key, value in named.items() if value.scarce and _is_key_alone(draft, key)
    )
    needs_token = any(".token}" in one.flat() for one in attributes.values())
    needs_token |= any(".token}" in one.flat() for one in draft.made.full.values())
    if needs_token:
        draft.made.params["token"] = call(name(DECLARATIONS, "Token"))


def _is_key_alone(draft: Draft, key: str) -> bool:
    column = draft.mapper.get_property(key).columns[0]
    return any(
        column.name in columns
        and not any(draft.differs(one) for one in columns if one != column.name)
        for columns in draft.unique_sets
    )


def _fit_the_constructor(draft: Draft) -> None:
    """Give the constructor of a dataclass what it wants, and nothing else."""
    if not is_dataclass(draft.mapper.class_):
        return
    parameters = signature(draft.mapper.class_).parameters
    for values in (draft.made.attributes, draft.made.full):
        for key in [key for key in values if key not in parameters]:
            del values[key]
            draft.made.comments.append(f"{key}: the model's constructor does not take it.")
    for one in parameters.values():
        if one.default is one.empty and one.name not in draft.made.attributes:
            draft.made.attributes[one.name] = _empty(draft, one.name)


def _empty(draft: Draft, key: str) -> Expression:
    relation = draft.mapper.relationships.get(key)
    if relation is not None and relation.uselist:
        return call(raw("factory.LazyFunction", FACTORY), raw("list"))
    return literal(None)
