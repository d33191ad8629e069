"""Writing chunks with as few COPY statements as possible."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg

from ....errors import BulkError
from ..chunks.values import MISSING, Merged, Picked, Same, Values
from .storage import StoredChunk, absent_of
from .table import refused, rows_of

#: Errors of an encoder if a value is not of the column's type. The server may still accept the
#: value as text.
_NOT_ENCODABLE = (
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    struct.error,
    psycopg.DataError,
)


@dataclass
class Batch:
    """The rows of a chunk that have values for the same columns."""

    chunk: StoredChunk
    columns: dict[str, Values]
    """The values, by attribute."""

    rows: Sequence[int]
    """The numbers of the rows in the call."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        sources = self.chunk.storage.sources
        return tuple(sources[key].column.name for key in self.columns)

    def encoded(self) -> bytes | None:
        """Return the rows in the binary format, or None if a value cannot be encoded in it."""
        fields = []
        for key, values in self.columns.items():
            encode = self.chunk.storage.encoders[key]
            if encode is None:
                return None
            try:
                fields.append(values.encoded(encode))
            except _NOT_ENCODABLE:
                return None
        return rows_of(fields, len(self.rows))

    def processed(self) -> Iterable[tuple[Any, ...]]:
        """Return the rows as values for psycopg."""
        dialect = self.chunk.storage.table.dialect
        processed = []
        for key, values in self.columns.items():
            kind = self.chunk.storage.sources[key].column.type
            process = kind.dialect_impl(dialect).bind_processor(dialect)
            nullable = (None if value is MISSING else value for value in values)
            processed.append(map(process, nullable) if process else nullable)
        return zip(*processed, strict=True)


def write(chunks: Sequence[StoredChunk]) -> None:
    """Write chunks of one table together, since their rows may refer to each other.

    Rows that leave the same columns to the server's defaults share a COPY.

    :raises BulkError: the values of a unique column would repeat; the server refuses a row.
    """
    groups: dict[tuple[str, ...], list[Batch]] = {}
    for chunk in chunks:
        _check_unique(chunk)
        for batch in _batches(chunk):
            groups.setdefault(batch.names, []).append(batch)
    for names, batches in groups.items():
        _copy(names, batches)


def _copy(names: Sequence[str], batches: list[Batch]) -> None:
    table, factory = batches[0].chunk.storage.table, batches[0].chunk.compiled.factory
    rows = [row for batch in batches for row in batch.rows]
    encoded = [batch.encoded() for batch in batches]
    explain = partial(refused, table, factory.__name__, rows)
    if None not in encoded:
        table.copy(names, [data for data in encoded if data is not None], explain)
    else:
        processed = (row for batch in batches for row in batch.processed())
        table.copy_as_text(names, processed, explain)


def _batches(chunk: StoredChunk) -> Iterator[Batch]:
    """Group the rows of a chunk by the columns that they leave to the server's defaults."""
    storage = chunk.storage
    left: dict[str, Sequence[int]] = {}
    for key, source in storage.sources.items():
        if not chunk.has_default(source) and storage.table.has_default(source.column.name):
            evaluates_none = source.column.type.should_evaluate_none
            left[key] = absent_of(chunk.stored(key), evaluates_none)
    if all(len(absent) in (0, len(chunk)) for absent in left.values()):
        keys = [key for key in storage.sources if not left.get(key)]
        yield Batch(chunk, {key: chunk.stored(key) for key in keys}, chunk.rows)
        return
    sets = {key: set(absent) for key, absent in left.items()}
    groups: dict[frozenset[str], list[int]] = {}
    for at in range(len(chunk)):
        group = frozenset(key for key, absent in sets.items() if at in absent)
        groups.setdefault(group, []).append(at)
    for group, positions in groups.items():
        columns = {
            key: chunk.stored(key).take(positions) for key in storage.sources if key not in group
        }
        yield Batch(chunk, columns, [chunk.rows[at] for at in positions])


def _check_unique(chunk: StoredChunk) -> None:
    for key in chunk.storage.unique:
        why = _why_repeated(chunk.stored(key))
        if why is not None:
            raise BulkError(
                f"{chunk.compiled.factory.__name__} cannot be made in bulk: {key!r} is unique,"
                f" and {why}. Declare it as a Sequence, a Token, a Uuid, or as a function"
                " of one, or give the values in the call.",
                table=chunk.storage.table.table.name,
                column=chunk.storage.sources[key].column.name,
            )


def _why_repeated(values: Values) -> str | None:
    """Return why values cannot be unique, or None if that is not known."""
    if isinstance(values, Same) and len(values) > 1 and not absent_of(values, False):
        return f"every row would have the value {values.value!r}"
    if isinstance(values, Merged):
        parts = [part for _, part in values.parts]
        return next(filter(None, map(_why_repeated, parts)), None)
    if isinstance(values, Picked) and values.pool.drawn:
        return "its values are drawn from few, which repeat"
    return None
