"""A factory in the making: what is known of its model, and what was decided so far."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import CheckConstraint, Column, Table
from sqlalchemy.orm import Mapper

from .column_kinds import DIALECT, Kind, kind_of, members_of
from .constraints.checks import SOMETHING, Check
from .constraints.expressions import Unknown, parse
from .constraints.limits import Limits, limits_of
from .keys import links_of, unique_sets
from .python import Expression
from .values import Value, value_for

__all__ = ["Draft", "Plan", "Target"]

Target = Callable[[Mapper[Any]], Expression | None]
"""How a factory refers to that of another model; ``None`` if that has none."""


@dataclass
class Plan:
    """A factory, before it is written."""

    mapper: Mapper[Any]
    attributes: dict[str, Expression] = field(default_factory=dict)
    """By the model's names, in the model's order."""

    params: dict[str, Expression] = field(default_factory=dict)
    full: dict[str, Expression] = field(default_factory=dict)
    """What a call with the trait for optional values adds."""

    looked_up: tuple[str, ...] = ()
    """The attributes by which a row is looked up before it is made."""

    unconstructed: bool = False
    """Whether the model's constructor does not take what a row has."""

    comments: list[str] = field(default_factory=list)
    """What could not be done."""


class Draft:
    """What is decided of a factory. Columns go by their names in the database."""

    def __init__(self, mapper: Mapper[Any], target: Target) -> None:
        self.mapper = mapper
        self.target = target
        self.made = Plan(mapper)
        self.owner = _owner(mapper.class_.__name__)
        self.tables = [table for table in mapper.tables if isinstance(table, Table)]
        self.columns = {column.name: column for column in self._own_columns()}
        self.checks = list(_checks(self.tables, self.made.comments))
        self.limits = limits_of(self.checks)
        self.links = list(links_of(mapper))
        self.values: dict[str, Value] = {}
        """What a plain call fills."""
        self.optional: dict[str, Value] = {}
        """What a call with the trait for optional values adds, or has instead."""
        self.filled: dict[Column[Any], Expression | None] = {}
        """The columns of foreign keys; with ``None`` those that stay empty."""
        self.parents: dict[str, Expression] = {}
        """What makes the parents that a row must have, by relation."""
        self.relations: dict[str, str] = {}
        """The relations that fill optional columns."""
        self.fresh: set[str] = set()
        """The columns of keys to parents that are new in each row."""

    def key(self, column: Column[Any]) -> str:
        """The model's name for a column."""
        return self.mapper.get_property_by_column(column).key

    def _own_columns(self) -> Iterator[Column[Any]]:
        for attribute in self.mapper.column_attrs:
            column = attribute.columns[0]
            if isinstance(column, Column):
                yield column

    def value(self, column: Column[Any], *, unique: bool | None = None) -> Value | None:
        limits = self.limits.get(column.name, Limits())
        if unique is None:
            unique = any(columns == {column.name} for columns in self.unique_sets)
        return value_for(column, limits, unique=unique, owner=self.owner)

    def is_left_out(self, column: Column[Any]) -> bool:
        """Whether somebody else fills it: the database, the mapper, or a default."""
        counted = column is column.table._autoincrement_column or column.identity
        mapped = column is self.mapper.polymorphic_on or column is self.mapper.version_id_col
        if counted or column.computed is not None or column.server_default is not None:
            return True
        if mapped and (
            column is not self.mapper.polymorphic_on or self.mapper.polymorphic_identity
        ):
            return True
        if column.default is None:
            return False
        if not column.default.is_scalar:
            # A random key of its own is another one in each run.
            return kind_of(column.type) is not Kind.UUID
        return not any(columns == {column.name} for columns in self.unique_sets)

    @cached_property
    def unique_sets(self) -> list[set[str]]:
        """The columns of which no two rows may have the same values, set by set."""
        return [found for table in self.tables for found in unique_sets(table)]

    def differs(self, column_name: str, *, full: bool = False) -> bool:
        column = self.columns[column_name]
        value = self.values.get(column_name) or (self.optional.get(column_name) if full else None)
        if column_name in self.fresh or (value is not None and value.injective):
            return True
        if column is column.table._autoincrement_column or column.identity is not None:
            return True
        if value is None and column.nullable and not full:
            return True  # nulls are distinct
        return value is None and self.is_left_out(column) and kind_of(column.type) is Kind.UUID

    def row(self, values: dict[str, Value]) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for name_, column in self.columns.items():
            if name_ in values:
                if values[name_].example is not None:
                    row[name_] = values[name_].example
            elif column in self.filled and self.filled[column] is not None:
                row[name_] = SOMETHING
            elif self.is_left_out(column):
                known, default = _default(column)
                if known:
                    row[name_] = default
            else:
                row[name_] = None
        return row


def _owner(class_name: str) -> str:
    """What a function calls a row of the model: ``blog_post`` of ``BlogPost``."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", class_name).lower()
    return f"{snake}_" if keyword.iskeyword(snake) else snake.strip("_") or "row"


def _default(column: Column[Any]) -> tuple[bool, Any]:
    """The value that a column gets if it is left out; and whether that is known."""
    default: Any = column.default
    if default is not None and default.is_scalar:
        for member, stored in members_of(column.type):
            if member.flat().endswith(f".{getattr(default.arg, 'name', None)}"):
                return True, stored
        return True, default.arg
    server: Any = getattr(column.server_default, "arg", None)
    text = getattr(server, "text", server)
    if default is None and isinstance(text, str):
        if isinstance(server, str):
            return True, {"false": False, "true": True}.get(server.lower(), _number(server))
        try:
            node = parse(text)
        except Unknown:
            return False, None
        if node.kind == "literal":
            return True, node.parts[0]
    return False, None


def _number(text: str) -> Any:
    return int(text) if re.fullmatch(r"-?\d+", text) else text


def _checks(tables: Iterable[Table], comments: list[str]) -> Iterator[Check]:
    for table in tables:
        for constraint in sorted(
            (one for one in table.constraints if isinstance(one, CheckConstraint)),
            key=lambda one: str(one.name),
        ):
            if getattr(constraint, "_type_bound", False):
                continue
            compiled = constraint.sqltext.compile(
                dialect=DIALECT, compile_kwargs={"literal_binds": True}
            )
            text = str(compiled).replace("%%", "%")
            label = str(constraint.name or text)
            try:
                yield Check(label, parse(text))
            except Unknown:
                comments.append(f"{label} was not understood: {' '.join(text.split())}")
