"""A model's foreign keys, the parents that they require, and its unique columns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Mapper, RelationshipProperty
from sqlalchemy.orm.interfaces import RelationshipDirection

__all__ = ["Link", "common_to", "concrete", "is_same", "links_of", "parents", "unique_sets"]


@dataclass
class Link:
    """A foreign key of a model."""

    constraint: ForeignKeyConstraint
    parent: Mapper[Any]
    """The model of the rows that it refers to."""

    relation: RelationshipProperty[Any] | None
    """The relationship that sets it, if the model has one."""

    @property
    def columns(self) -> list[Column[Any]]:
        """The columns of the key."""
        return list(self.constraint.columns)

    @property
    def required(self) -> bool:
        """Whether each row has a parent: the key is not nullable, or a default refers to a row."""
        defaults = [column.default or column.server_default for column in self.columns]
        return any(defaults) or all(not column.nullable for column in self.columns)

    def pairs(self) -> Iterator[tuple[Column[Any], Column[Any]]]:
        """Yield each column of the key with the column that it refers to."""
        for element in self.constraint.elements:
            yield element.parent, element.column


def parents(mapper: Mapper[Any]) -> Iterator[Mapper[Any]]:
    """Yield the models whose rows a row of this model requires, other than its own."""
    for link in links_of(mapper):
        if link.required and not is_same(link.parent, mapper):
            yield link.parent


def links_of(mapper: Mapper[Any]) -> Iterator[Link]:
    """Yield the foreign keys of a model, except those that joined inheritance fills."""
    inherited = {table for one in mapper.iterate_to_root() for table in one.tables}
    for table in mapper.tables:
        if not isinstance(table, Table):
            continue
        for constraint in sorted(
            table.foreign_key_constraints, key=lambda one: list(one.column_keys)
        ):
            if not all(column in mapper.columns.values() for column in constraint.columns):
                continue
            try:
                referred = constraint.referred_table
            except InvalidRequestError:
                continue  # The table that it refers to is not defined.
            to_base_class = referred in inherited and referred is not table
            if to_base_class and all(column.primary_key for column in constraint.columns):
                continue
            relation = _relation(mapper, constraint)
            parent = (
                concrete(relation.mapper) if relation is not None else _mapper_of(mapper, referred)
            )
            if parent is not None:
                yield Link(constraint, parent, relation)


def _relation(
    mapper: Mapper[Any], constraint: ForeignKeyConstraint
) -> RelationshipProperty[Any] | None:
    """Return the relationship that sets a foreign key, if there is one."""
    wanted = {(element.column, element.parent) for element in constraint.elements}
    for relation in mapper.relationships:
        is_parent = relation.direction is RelationshipDirection.MANYTOONE and not relation.viewonly
        if is_parent and set(relation.synchronize_pairs) == wanted:
            return relation
    return None


def _mapper_of(mapper: Mapper[Any], table: Any) -> Mapper[Any] | None:
    """Return the most general model of a table."""
    found = [one for one in mapper.registry.mappers if one.local_table is table]
    found.sort(key=lambda one: (len(list(one.iterate_to_root())), one.class_.__name__))
    return next(iter(found), None)


def concrete(mapper: Mapper[Any]) -> Mapper[Any]:
    """Return the model if rows can have its identity; otherwise its first subclass that has one."""
    if mapper.polymorphic_on is None or mapper.polymorphic_identity is not None:
        return mapper
    found = [one for one in mapper.self_and_descendants if one.polymorphic_identity is not None]
    return min(found, key=lambda one: one.class_.__name__, default=mapper)


def common_to(
    parent: Mapper[Any],
    referred: Column[Any],
    other: Mapper[Any],
    theirs: Column[Any],
    attribute: str,
) -> tuple[str, str]:
    """Return how one parent gets a value that it must share with another parent.

    :param parent: the model of the parent that gets the value, in its column ``referred``.
    :param other: the model of the parent that has it, in its column ``theirs``.
    :param attribute: the attribute of the row that holds the other parent.
    :returns: the path to the value from the row, and the name of the parent's attribute.
    """
    relation, their_relation = _relation_of(parent, referred), _relation_of(other, theirs)
    if relation is not None and is_same(relation.mapper, other):
        return attribute, relation.key
    if relation is not None and their_relation is not None:
        return f"{attribute}.{their_relation.key}", relation.key
    their_key = other.get_property_by_column(theirs).key
    return f"{attribute}.{their_key}", parent.get_property_by_column(referred).key


def _relation_of(mapper: Mapper[Any], column: Column[Any]) -> RelationshipProperty[Any] | None:
    """Return the relationship that sets one column, if there is one."""
    for link in links_of(mapper):
        if link.relation is not None and link.columns == [column]:
            return link.relation
    return None


def is_same(one: Mapper[Any], other: Mapper[Any]) -> bool:
    """Return whether two models are the same, or one inherits from the other."""
    return one.isa(other) or other.isa(one)


_DISTINCT = (UniqueConstraint, PrimaryKeyConstraint, postgresql.ExcludeConstraint)


def unique_sets(table: Table) -> Iterator[set[str]]:
    """Yield each set of columns in which no two rows may have the same values."""
    for constraint in table.constraints:
        if isinstance(constraint, _DISTINCT) and constraint.columns:
            yield {column.name for column in constraint.columns}
    for index in table.indexes:
        if index.unique:
            yield _indexed(index)
    for column in table.columns:
        if column.unique:
            yield {column.name}


def _indexed(index: Index) -> set[str]:
    """Return the columns of an index, those in its expressions, too."""
    known = {column.name for column in index.columns}
    texts = " ".join(str(one) for one in index.expressions if not isinstance(one, Column))
    return known | (
        set(re.findall(r"\w+", texts))
        & set(index.table.columns.keys() if index.table is not None else ())
    )
