"""The plan of a factory, made from a model's columns, constraints and relationships."""

from __future__ import annotations

from dataclasses import is_dataclass
from inspect import signature
from typing import Any

from sqlalchemy.orm import Mapper

from .draft import FactoryDraft, FactoryPlan, FactoryReference
from .parents import add_parents
from .python import FACTORY, call, name
from .satisfy import satisfy_checks, satisfy_orders
from .uniqueness import make_unique
from .values import DECLARATIONS

__all__ = ["plan_factory"]


def plan_factory(mapper: Mapper[Any], refer_to: FactoryReference) -> FactoryPlan:
    """Plan the factory of a model.

    :param refer_to: how to refer to other factories.
    """
    draft = FactoryDraft(mapper, refer_to)
    add_parents(draft)
    _add_columns(draft)
    make_unique(draft)
    satisfy_orders(draft)
    satisfy_checks(draft)
    _declare(draft)
    _fit_the_constructor(draft)
    return draft.plan


def _add_columns(draft: FactoryDraft) -> None:
    for name_, column in draft.columns.items():
        if column in draft.keys or name_ in draft.values or draft.is_left_out(column):
            continue
        value = draft.value(column)
        if value is None:
            if not column.nullable:
                draft.plan.comments.append(f"{draft.key(column)}: no value for {column.type}.")
        elif column.nullable and not column.primary_key:
            draft.optional[name_] = value
        else:
            draft.values[name_] = value


def _declare(draft: FactoryDraft) -> None:
    """Write the draft's decisions into its plan, in the order of the model's attributes."""
    plan = draft.plan
    named = {draft.key(draft.columns[one]): value for one, value in draft.values.items()}
    attributes = {key: value.source for key, value in named.items()} | draft.parents
    places = {attribute.key: place for place, attribute in enumerate(draft.mapper.attrs)}
    for link in draft.links:
        if link.relation is not None:
            # A relationship takes the place of its column.
            places[link.relation.key] = min(places[draft.key(column)] for column in link.columns)
    plan.attributes = {key: attributes[key] for key in sorted(attributes, key=places.__getitem__)}
    plan.full = {
        draft.relations.get(one) or draft.key(draft.columns[one]): value.source
        for one, value in draft.optional.items()
    }
    plan.looked_up = tuple(
        key for key, value in named.items() if value.scarce and _is_only_unique(draft, key)
    )
    if any(".token}" in source for source in [*plan.attributes.values(), *plan.full.values()]):
        plan.params["token"] = call(name(DECLARATIONS, "Token"))


def _is_only_unique(draft: FactoryDraft, key: str) -> bool:
    """Return whether nothing else makes a row unique in a set that contains the attribute."""
    column = draft.mapper.get_property(key).columns[0]
    return any(
        column.name in columns
        and not any(draft.is_unique_by_row(one) for one in columns if one != column.name)
        for columns in draft.unique_sets
    )


def _fit_the_constructor(draft: FactoryDraft) -> None:
    """Declare exactly what the constructor of a mapped dataclass takes."""
    if not is_dataclass(draft.mapper.class_):
        return
    parameters = signature(draft.mapper.class_).parameters
    for sources in (draft.plan.attributes, draft.plan.full):
        for key in [key for key in sources if key not in parameters]:
            del sources[key]
            draft.plan.comments.append(f"{key}: the model's constructor does not take it.")
    for one in parameters.values():
        if one.default is one.empty and one.name not in draft.plan.attributes:
            draft.plan.attributes[one.name] = _empty(draft, one.name)


def _empty(draft: FactoryDraft, key: str) -> str:
    relation = draft.mapper.relationships.get(key)
    if relation is not None and relation.uselist:
        return call(f"{FACTORY}.LazyFunction", "list")
    return "None"
