"""Factories and models that need each row as an object."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapper, RelationshipDirection

from ..._compat import has_bind_expression, has_listener, has_own_init

#: Methods of factory_boy that act on each row as an object, if a factory overrides them.
METHODS = (
    "_adjust_kwargs",
    "_after_postgeneration",
    "_build",
    "_create",
    "_generate",
    "_get_or_create",
    "_save",
    "create",
)
EVENTS = ("before_insert", "after_insert")


def needs_objects(factory: Any, base: Any, names: Iterable[str]) -> str | None:
    """Return why the rows of a factory can only be made one by one, or None.

    :param base: the class of factories whose methods bulk creation replaces.
    :param names: everything that is declared or given.
    """
    own = [name for name in METHODS if _function(factory, name) is not _function(base, name)]
    if own:
        return f"it has a {own[0]!r} of its own"
    if factory._meta.inline_args:
        return "it has inline_args"
    if factory._meta.sqlalchemy_get_or_create:
        return "it looks for rows that are there (sqlalchemy_get_or_create)"
    return _model_needs_objects(sa.inspect(factory._meta.model), _visible(factory._meta, names))


def _function(factory: Any, name: str) -> Any:
    method = getattr(factory, name)
    return getattr(method, "__func__", method)


def _visible(meta: Any, names: Iterable[str]) -> list[str]:
    """Return the attributes that a row is made with."""
    hidden = {*meta.exclude, *meta.parameters}
    return [meta.rename.get(name, name) for name in names if name not in hidden]


def _model_needs_objects(mapper: Mapper[Any], names: list[str]) -> str | None:
    model = mapper.class_.__name__
    if has_own_init(mapper):
        return f"{model} has an __init__ of its own"
    if mapper.inherits is not None and mapper.local_table is not mapper.inherits.local_table:
        return f"a {model} has rows in two tables"
    if mapper.version_id_col is not None:
        return f"{model} counts its versions"
    event = next((name for name in EVENTS if has_listener(mapper, name)), None)
    if event is not None:
        return f"{model} has a listener to {event}"
    validated = next((name for name in names if name in mapper.validators), None)
    if validated is not None:
        return f"{model} validates {validated!r}"
    return _not_stored(mapper, names) or _sql_expression(mapper)


def _not_stored(mapper: Mapper[Any], names: list[str]) -> str | None:
    for name in names:
        relation = mapper.relationships.get(name)
        if relation is not None and relation.direction is RelationshipDirection.MANYTOONE:
            continue
        if name not in mapper.column_attrs:
            return f"{name!r} is no column of {mapper.class_.__name__}"
        attribute = getattr(mapper.class_, name)
        if not isinstance(mapper.column_attrs[name].columns[0], sa.Column):
            return f"{name!r} is no column of {mapper.class_.__name__}"
        if has_listener(attribute, "set"):
            return f"{mapper.class_.__name__} has a listener to changes of {name!r}"
    return None


def _sql_expression(mapper: Mapper[Any]) -> str | None:
    for attribute in mapper.column_attrs:
        column = attribute.columns[0]
        if not isinstance(column, sa.Column):
            continue
        if column.default is not None and column.default.is_clause_element:
            return f"the default of {attribute.key!r} is an expression"
        if has_bind_expression(column.type):
            return f"the type of {attribute.key!r} is written by an expression"
    return None
