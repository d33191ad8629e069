"""The keys of a model: which parents it needs, and what may not come twice."""

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
    """A foreign key, and how a factory fills it."""

    constraint: ForeignKeyConstraint
    parent: Mapper[Any]
    relation: RelationshipProperty[Any] | None

    @property
    def columns(self) -> list[Column[Any]]:
        return list(self.constraint.columns)

    @property
    def required(self) -> bool:
        """Whether there is no row without the parent; a default would lead to one, too."""
        defaults = [column.default or column.server_default for column in self.columns]
        return any(defaults) or all(not column.nullable for column in self.columns)

    def pairs(self) -> Iterator[tuple[Column[Any], Column[Any]]]:
        """Each column of the key, and what it refers to."""
        for element in self.constraint.elements:
            yield element.parent, element.column


def parents(mapper: Mapper[Any]) -> Iterator[Mapper[Any]]:
    """The models without a row of which there is no row of this one."""
    for link in links_of(mapper):
        if link.required and not is_same(link.parent, mapper):
            yield link.parent


def links_of(mapper: Mapper[Any]) -> Iterator[Link]:
    """Its foreign keys, but for those that inheritance takes care of."""
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
                continue  # to a table that nobody has defined
            of_inheritance = referred in inherited and referred is not table
            if of_inheritance and all(column.primary_key for column in constraint.columns):
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
    """The relationship that fills a foreign key, if there is one."""
    wanted = {(element.column, element.parent) for element in constraint.elements}
    for relation in mapper.relationships:
        is_parent = relation.direction is RelationshipDirection.MANYTOONE and not relation.viewonly
        if is_parent and set(relation.synchronize_pairs) == wanted:
            return relation
    return None


def _mapper_of(mapper: Mapper[Any], table: Any) -> Mapper[Any] | None:
    """The most general model of a table."""
    found = [one for one in mapper.registry.mappers if one.local_table is table]
    found.sort(key=lambda one: (len(list(one.iterate_to_root())), one.class_.__name__))
    return next(iter(found), None)


def concrete(mapper: Mapper[Any]) -> Mapper[Any]:
    """A model of which there can be rows: itself, or the first that inherits from it."""
    if mapper.polymorphic_on is None or mapper.polymorphic_identity is not None:
        return mapper
    heirs = [one for one in mapper.self_and_descendants if one.polymorphic_identity is not None]
    return min(heirs, key=lambda one: one.class_.__name__) if heirs else mapper


def common_to(
    parent: Mapper[Any],
    referred: Column[Any],
    other: Mapper[Any],
    theirs: Column[Any],
    attribute: str,
) -> tuple[str, str]:
    """The path to what two parents share, and the name by which the second one gets it."""
    by_relation = _filled_by(parent, referred)
    if by_relation is None:
        return (
            f"{attribute}.{other.get_property_by_column(theirs).key}",
            parent.get_property_by_column(referred).key,
        )
    if is_same(by_relation.mapper, other):
        return attribute, by_relation.key
    their_relation = _filled_by(other, theirs)
    if their_relation is not None:
        return f"{attribute}.{their_relation.key}", by_relation.key
    return f"{attribute}.{other.get_property_by_column(theirs).key}", parent.get_property_by_column(
        referred
    ).key


def _filled_by(mapper: Mapper[Any], column: Column[Any]) -> RelationshipProperty[Any] | None:
    for link in links_of(mapper):
        if link.relation is not None and link.columns == [column]:
            return link.relation
    return None


def is_same(one: Mapper[Any], other: Mapper[Any]) -> bool:
    return one.isa(other) or other.isa(one)


_DISTINCT = (UniqueConstraint, PrimaryKeyConstraint, postgresql.ExcludeConstraint)


def unique_sets(table: Table) -> Iterator[set[str]]:
    """The columns of which no two rows may have the same values, set by set."""
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
    known = {column.name for column in index.columns}
    texts = " ".join(str(one) for one in index.expressions if not isinstance(one, Column))
    return known | (
        set(re.findall(r"\w+", texts))
        & set(index.table.columns.keys() if index.table is not None else ())
    )
