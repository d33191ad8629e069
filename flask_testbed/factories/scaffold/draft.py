"""A factory before it is written: what is known of its model, and what was decided so far."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import CheckConstraint, Column, Table
from sqlalchemy.orm import Mapper

from ..._compat import belongs_to_type
from .column_kinds import DIALECT, Kind, kind_of, members_of
from .column_values import value_for
from .constraints.checks import SOMETHING, Check
from .constraints.expressions import Unknown, parse
from .constraints.limits import Limits, limits_of
from .keys import links_of, unique_sets
from .values import Value, WantedValue

__all__ = ["FactoryDraft", "FactoryPlan", "FactoryReference"]

FactoryReference = Callable[[Mapper[Any]], str | None]
"""Returns the source that refers to a model's factory, or ``None`` if there is no factory."""


@dataclass
class FactoryPlan:
    """What a factory declares."""

    mapper: Mapper[Any]
    attributes: dict[str, str] = field(default_factory=dict)
    """The source of each declaration, by the model's attribute and in the model's order."""

    params: dict[str, str] = field(default_factory=dict)
    full: dict[str, str] = field(default_factory=dict)
    """What the trait for optional values declares."""

    looked_up: tuple[str, ...] = ()
    """The attributes by which an existing row is looked up."""

    unconstructed: bool = False
    """Whether the model's constructor does not take the attributes."""

    comments: list[str] = field(default_factory=list)
    """What is left to the reader."""


class FactoryDraft:
    """What was decided of a factory. Columns are named as in the database.

    :param refer_to: how to refer to other factories.
    """

    def __init__(self, mapper: Mapper[Any], refer_to: FactoryReference) -> None:
        self.mapper = mapper
        self.refer_to = refer_to
        self.plan = FactoryPlan(mapper)
        self.row_name = _row_name(mapper.class_.__name__)
        self.tables = [table for table in mapper.tables if isinstance(table, Table)]
        self.columns = {column.name: column for column in self._own_columns()}
        self.checks = list(_checks(self.tables, self.plan.comments))
        self.limits = limits_of(self.checks)
        self.links = list(links_of(mapper))
        self.values: dict[str, Value] = {}
        """The values that each call sets."""
        self.optional: dict[str, Value] = {}
        """The values that a call with the trait for optional values sets, or sets instead."""
        self.keys: dict[Column[Any], str | None] = {}
        """The columns of foreign keys, with what sets them; ``None`` leaves a column empty."""
        self.parents: dict[str, str] = {}
        """The declarations of required parents, by relationship."""
        self.relations: dict[str, str] = {}
        """The relationships that set optional columns."""
        self.fresh: set[str] = set()
        """The columns of foreign keys to a parent that is new for each row."""

    def key(self, column: Column[Any]) -> str:
        """Return the model's attribute for a column."""
        return self.mapper.get_property_by_column(column).key

    def _own_columns(self) -> Iterator[Column[Any]]:
        for attribute in self.mapper.column_attrs:
            column = attribute.columns[0]
            if isinstance(column, Column):
                yield column

    def value(self, column: Column[Any], *, unique: bool | None = None) -> Value | None:
        """Return a value for a column, or ``None`` if its type is not known.

        :param unique: whether no two rows may have the same value; by default, whether the column
            alone is unique.
        """
        if unique is None:
            unique = self._is_unique(column)
        limits = self.limits.get(column.name, Limits())
        return value_for(WantedValue(column, limits, unique, self.row_name))

    def _is_unique(self, column: Column[Any]) -> bool:
        return {column.name} in self.unique_sets

    def is_left_out(self, column: Column[Any]) -> bool:
        """Return whether the database, the mapper or a default sets a column."""
        if _is_numbered(column) or column.computed is not None or column.server_default is not None:
            return True
        if column is self.mapper.version_id_col:
            return True
        if column is self.mapper.polymorphic_on and self.mapper.polymorphic_identity:
            return True
        if column.default is None:
            return False
        if not column.default.is_scalar:
            # A default that makes random UUIDs would not be repeatable.
            return kind_of(column.type) is not Kind.UUID
        return not self._is_unique(column)

    @cached_property
    def unique_sets(self) -> list[set[str]]:
        """Each set of columns in which no two rows may have the same values."""
        return [found for table in self.tables for found in unique_sets(table)]

    def is_unique_by_row(self, column_name: str, *, full: bool = False) -> bool:
        """Return whether no two rows get the same value in a column.

        :param full: with the trait for optional values.
        """
        column = self.columns[column_name]
        value = self.values.get(column_name) or (self.optional.get(column_name) if full else None)
        if column_name in self.fresh or (value is not None and value.unique):
            return True
        if _is_numbered(column):
            return True
        if value is None and column.nullable and not full:
            return True  # No two nulls are equal.
        return value is None and self.is_left_out(column) and kind_of(column.type) is Kind.UUID

    def row(self, values: dict[str, Value]) -> dict[str, Any]:
        """Return an example of a row, as far as it is known, to evaluate constraints with."""
        row: dict[str, Any] = {}
        for name_, column in self.columns.items():
            if name_ in values:
                if values[name_].example is not None:
                    row[name_] = values[name_].example
            elif self.keys.get(column) is not None:
                row[name_] = SOMETHING
            elif self.is_left_out(column):
                known, default = _default(column)
                if known:
                    row[name_] = default
            else:
                row[name_] = None
        return row


def _is_numbered(column: Column[Any]) -> bool:
    return column is column.table.autoincrement_column or column.identity is not None


def _row_name(class_name: str) -> str:
    """Return the name of a row in the factory's functions: ``blog_post`` of ``BlogPost``."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", class_name).lower()
    return f"{snake}_" if keyword.iskeyword(snake) else snake.strip("_") or "row"


def _default(column: Column[Any]) -> tuple[bool, Any]:
    """Return whether the default of a column is known, and the default as it is stored."""
    default: Any = column.default
    if default is not None and default.is_scalar:
        for member, stored in members_of(column.type):
            if member.endswith(f".{getattr(default.arg, 'name', None)}"):
                return True, stored
        return True, default.arg
    server: Any = getattr(column.server_default, "arg", None)
    text = getattr(server, "text", server)
    if default is None and isinstance(text, str):
        if isinstance(server, str):
            return True, {"false": False, "true": True}.get(server.lower(), _number(server))
        try:
            parsed = parse(text)
        except Unknown:
            return False, None
        if parsed.kind == "literal":
            return True, parsed.parts[0]
    return False, None


def _number(text: str) -> Any:
    return int(text) if re.fullmatch(r"-?\d+", text) else text


def _checks(tables: Iterable[Table], comments: list[str]) -> Iterator[Check]:
    """Yield the CHECK constraints of tables. A comment names each that cannot be parsed."""
    for table in tables:
        for constraint in sorted(
            (one for one in table.constraints if isinstance(one, CheckConstraint)),
            key=lambda one: str(one.name),
        ):
            if belongs_to_type(constraint):
                continue
            compiled = constraint.sqltext.compile(
                dialect=DIALECT, compile_kwargs={"literal_binds": True}
            )
            text = str(compiled).replace("%%", "%")
            label = str(constraint.name or text)
            try:
                yield Check(label, parse(text))
            except Unknown:
                comments.append(f"{label} could not be read: {' '.join(text.split())}")
