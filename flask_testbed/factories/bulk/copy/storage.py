"""From what is declared to what is stored: which column of the table gets which values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapper, RelationshipDirection

from ....randomness import drawing_from
from ..chunks.chunk import Chunk
from ..chunks.values import MISSING, Encoder, Listed, Merged, Moments, Picked, Same, Uuids, Values
from ..nodes.drawn import RandomUuids
from .encode import encoder
from .table import Target


@dataclass(frozen=True)
class Source:
    """Where the values of a column come from."""

    column: sa.Column[Any]
    key: str
    """The attribute that the model has for it."""

    name: str | None = None
    """The declaration of its values; None if there is none."""

    parent: str | None = None
    """The declaration of the row that it refers to, by that row's attribute ``key_of_parent``."""

    key_of_parent: str = ""
    value: Any = MISSING
    """What all rows have, if nothing is declared."""


class Storage:
    """What the rows of a plan are to their table."""

    def __init__(self, mapper: Mapper[Any], target: Target, names: Mapping[str, str]) -> None:
        """:param names: the attributes that rows are made with, and how each is declared."""
        self.mapper = mapper
        self.target = target
        self.sources = {source.key: source for source in _sources(mapper, names)}
        self.key = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
        self.unique = [key for key in self.sources if self._is_unique(self.sources[key].column)]

    def _is_unique(self, column: sa.Column[Any]) -> bool:
        table = self.target.table
        sets: list[Any] = [self.mapper.primary_key]
        sets += [one.columns for one in table.constraints if isinstance(one, sa.UniqueConstraint)]
        sets += [
            index.columns
            for index in table.indexes
            if index.unique and not index.dialect_kwargs.get("postgresql_where")
        ]
        return any(list(columns) == [column] for columns in sets)

    @cached_property
    def encoders(self) -> dict[str, Encoder | None]:
        """How the values of each attribute are sent."""
        types = self.target.types
        return {
            key: encoder(source.column.type, types[source.column.name], self.target.dialect)
            for key, source in self.sources.items()
        }


def _sources(mapper: Mapper[Any], names: Mapping[str, str]) -> Iterable[Source]:
    parents = {
        local: (names[relation.key], mapper_key(relation.mapper, remote))
        for relation in mapper.relationships
        if relation.key in names and relation.direction is RelationshipDirection.MANYTOONE
        for local, remote in relation.local_remote_pairs or ()
    }
    for attribute in mapper.column_attrs:
        column = attribute.columns[0]
        if not isinstance(column, sa.Column) or column.computed is not None:
            continue
        if column in parents:
            parent, key_of_parent = parents[column]
            yield Source(column, attribute.key, parent=parent, key_of_parent=key_of_parent)
        elif attribute.key in names:
            yield Source(column, attribute.key, name=names[attribute.key])
        elif column is mapper.polymorphic_on:
            yield Source(column, attribute.key, value=mapper.polymorphic_identity)
        else:
            yield Source(column, attribute.key)


def mapper_key(mapper: Mapper[Any], column: Any) -> str:
    """The attribute that a model has for a column."""
    return str(mapper.get_property_by_column(column).key)


class StoredChunk(Chunk):
    """Rows that will be those of a table."""

    storage: Storage

    def column(self, name: str) -> Values:
        if name in self._columns:
            return self._columns[name]
        values = super().column(name)
        # Rows of before are on their way meanwhile.
        self.storage.target.wire.pump()
        return values

    def stored(self, name: str) -> Values:
        if name not in self._stored:
            source = self.storage.sources[name]
            self._stored[name] = self._with_defaults(source, self._declared(source))
        return self._stored[name]

    def is_counted(self, name: str) -> bool:
        """Whether the server gives a part of the key, and nobody else."""
        source = self.storage.sources[name]
        declared = source.name or source.parent or source.column.default is not None
        return not declared and self.storage.target.has_default(source.column.name)

    def preset(self, name: str, values: Values) -> None:
        """Take values for a column that are there already."""
        self._stored[name] = values

    @cached_property
    def _stored(self) -> dict[str, Values]:
        return {}

    def unknown(self, name: str) -> Any:
        relation = self.storage.mapper.relationships.get(name)
        if relation is None:
            return super().unknown(name)
        # A new row is nobody's parent yet, and what is not declared refers to nobody.
        return [] if relation.uselist else None

    def keys(self) -> Values:
        """The primary keys."""
        parts = [self.stored(key) for key in self.storage.key]
        return parts[0] if len(parts) == 1 else Listed(list(zip(*parts, strict=True)))

    def _declared(self, source: Source) -> Values:
        if source.parent is not None:
            return self.column(source.parent).part(source.key_of_parent)
        if source.name is not None:
            return self.column(source.name)
        return Same(source.value, len(self))

    # Defaults

    def _with_defaults(self, source: Source, values: Values) -> Values:
        """As the ORM does: whatever has no value, or None, gets the default of the model."""
        if not self.has_default(source):
            return values
        absent = absent_of(values, source.column.type.should_evaluate_none)
        if not absent:
            return values
        defaults = self._defaults(source, absent)
        if len(absent) == len(self):
            return defaults
        gone = set(absent)
        rest = [at for at in range(len(self)) if at not in gone]
        return Merged(len(self), [(rest, values.take(rest)), (absent, defaults)])

    def has_default(self, source: Source) -> bool:
        """Whether a value is made here, and not left to the server."""
        default = source.column.default
        if default is not None and not isinstance(default, sa.Sequence):
            return True
        # Others may refer to it, and it is what the call returns.
        return source.key in self.storage.key and self.storage.target.has_default(
            source.column.name
        )

    def _defaults(self, source: Source, positions: Sequence[int]) -> Values:
        default: Any = source.column.default
        size = len(positions)
        if default is None or isinstance(default, sa.Sequence):
            return Listed(self.storage.target.defaults(source.column.name, size))
        if not default.is_callable:
            return Same(default.arg, size)
        name = f"{source.key}.default"
        if (default.arg.__module__, default.arg.__name__) == ("uuid", "uuid4"):
            uuids = RandomUuids(name).fill(self)
            return Uuids(uuids.data[: 16 * size])
        with drawing_from(self.stream(name)):
            return Listed([default.arg(_Parameters(self, source, at)) for at in positions])


class _Parameters:
    """What a default of the model gets that asks for the other values of its row."""

    def __init__(self, chunk: StoredChunk, source: Source, at: int) -> None:
        self._chunk = chunk
        self._source = source
        self._at = at

    def get_current_parameters(self, isolate_multiinsert_params: bool = True) -> dict[str, Any]:
        """The values of the row, by column."""
        return self.current_parameters

    @property
    def current_parameters(self) -> dict[str, Any]:
        """The same."""
        return {
            source.column.key: self._chunk.stored(source.key)[self._at]
            for source in self._chunk.storage.sources.values()
            if source is not self._source and (source.name or source.parent)
        }


def absent_of(values: Values, evaluates_none: bool) -> Sequence[int]:
    """The rows that have no value."""
    if isinstance(values, Moments | Uuids):
        return ()
    if isinstance(values, Same):
        return range(len(values)) if _places([values.value], evaluates_none) else ()
    if isinstance(values, Picked) and not _places(values.pool.entries, evaluates_none):
        return ()
    return _places(values, evaluates_none)


def _places(values: Iterable[Any], evaluates_none: bool) -> list[int]:
    absent = MISSING if evaluates_none else None
    return [at for at, value in enumerate(values) if value is absent or value is MISSING]
