"""From what is declared to what is stored: which column of the table gets which values."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapper, RelationshipDirection

from ..errors import BulkError
from ..randomness import drawing_from
from .chunk import Chunk
from .encode import encoder
from .nodes import RandomUuids
from .table import Target, refusals_of
from .values import MISSING, Encoder, Listed, Merged, Moments, Picked, Same, Uuids, Values

#: What an encoder raises if a value is not of the column's type. The server may still take it.
_UNFIT = (TypeError, ValueError, AttributeError, OverflowError, struct.error)


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

    def stored(self, name: str) -> Values:
        if name not in self._stored:
            source = self.storage.sources[name]
            self._stored[name] = self._with_defaults(source, self._declared(source))
        return self._stored[name]

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
        if not self._has_default(source):
            return values
        absent = _absent(values, source.column.type.should_evaluate_none)
        if not absent:
            return values
        defaults = self._defaults(source, absent)
        if len(absent) == len(self):
            return defaults
        gone = set(absent)
        rest = [at for at in range(len(self)) if at not in gone]
        return Merged(len(self), [(rest, values.take(rest)), (absent, defaults)])

    def _has_default(self, source: Source) -> bool:
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

    # Writing

    def write(self) -> None:
        """Write the rows, in one COPY, or as many as there are ways of leaving values out."""
        self._refuse_what_repeats()
        storage = self.storage
        left: dict[str, Sequence[int]] = {}
        for key, source in storage.sources.items():
            if not self._has_default(source) and storage.target.has_default(source.column.name):
                evaluates_none = source.column.type.should_evaluate_none
                left[key] = _absent(self.stored(key), evaluates_none)
        if all(len(absent) in (0, len(self)) for absent in left.values()):
            self._write({key for key, absent in left.items() if absent}, None)
            return
        sets = {key: set(absent) for key, absent in left.items()}
        groups: dict[frozenset[str], list[int]] = {}
        for at in range(len(self)):
            group = frozenset(key for key, absent in sets.items() if at in absent)
            groups.setdefault(group, []).append(at)
        for group, positions in groups.items():
            self._write(group, positions)

    def _write(self, left: Iterable[str], positions: list[int] | None) -> None:
        """Write the rows at some positions, or all, without some columns."""
        storage = self.storage
        keys = [key for key in storage.sources if key not in left]
        columns = {key: self.stored(key) for key in keys}
        rows = self.rows
        if positions is not None:
            columns = {key: values.take(positions) for key, values in columns.items()}
            rows = [rows[at] for at in positions]
        names = [storage.sources[key].column.name for key in keys]
        fields = self._encoded(columns)
        with refusals_of(storage.target, self.plan.factory.__name__, rows):
            if fields is not None:
                storage.target.copy(names, fields, len(rows))
            else:
                storage.target.copy_as_text(names, self._processed(columns))

    def _encoded(self, columns: dict[str, Values]) -> list[list[bytes] | bytes] | None:
        """The fields in binary; None if a value or a type cannot be said in it."""
        fields = []
        for key, values in columns.items():
            encode = self.storage.encoders[key]
            if encode is None:
                return None
            try:
                fields.append(values.encoded(encode))
            except _UNFIT:
                return None
        return fields

    def _processed(self, columns: dict[str, Values]) -> Iterable[tuple[Any, ...]]:
        """The rows as psycopg wants them."""
        dialect = self.storage.target.dialect
        processed = []
        for key, values in columns.items():
            kind = self.storage.sources[key].column.type
            process = kind.dialect_impl(dialect).bind_processor(dialect)
            nullable = (None if value is MISSING else value for value in values)
            processed.append(map(process, nullable) if process else nullable)
        return zip(*processed, strict=True)

    def _refuse_what_repeats(self) -> None:
        for key in self.storage.unique:
            why = _repetition(self.stored(key))
            if why is not None:
                raise BulkError(
                    f"{self.plan.factory.__name__} cannot be made in bulk: {key!r} is unique,"
                    f" and {why}. Declare it as a Sequence, a Token, a Uuid, or as a function"
                    " of one, or give the values in the call.",
                    table=self.storage.target.table.name,
                    column=self.storage.sources[key].column.name,
                )


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


def _absent(values: Values, evaluates_none: bool) -> Sequence[int]:
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


def _repetition(values: Values) -> str | None:
    """Why values are not unique, if that is plain."""
    if isinstance(values, Same) and len(values) > 1 and not _absent(values, False):
        return f"every row would have the value {values.value!r}"
    if isinstance(values, Merged):
        parts = [part for _, part in values.parts]
        return next(filter(None, map(_repetition, parts)), None)
    if isinstance(values, Picked) and values.pool.drawn:
        return "its values are drawn from few, which repeat"
    return None
