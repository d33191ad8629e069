"""Drafts: rows that a scenario describes one by one, and that are written in bulk."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import sqlalchemy as sa
from factory import declarations, enums
from sqlalchemy.orm import Session

from ...errors import BulkError
from .chunks.chunk import CHUNK
from .chunks.compiled import CompiledFactory
from .chunks.steps import Supplied
from .chunks.values import Listed, Values
from .chunks.views import EvaluatedRow
from .copy.batches import write
from .copy.storage import StoredChunk
from .maker import Maker

#: Number of drafts from which on it pays to write them.
WORTH_WRITING = 2 * CHUNK


class Draft:
    """A row that is written later.

    It has the attributes that it was given, and others can be set until it is written. Afterwards,
    its key and its generated values can be read.
    """

    __slots__ = ("_draft_of",)

    _draft_of: PendingRow

    def __init__(self, pending: PendingRow) -> None:
        object.__setattr__(self, "_draft_of", pending)

    def __getattr__(self, name: str) -> Any:
        return self._draft_of.read(name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._draft_of.set(name, value)

    def __repr__(self) -> str:
        return f"<draft of {self._draft_of.factory.__name__}>"


@dataclass(eq=False)
class PendingRow:
    """What is known of the row of a draft."""

    factory: Any
    values: dict[str, Any]
    """The values that it was given, by declaration."""

    key: dict[str, Any] = field(default_factory=dict)
    """Its primary key, by attribute, from when it is numbered."""

    row: EvaluatedRow | None = None
    """Its generated values, from when it is written."""

    def read(self, name: str) -> Any:
        """Return an attribute."""
        if name in self.values:
            return self.values[name]
        if name in self.key:
            return self.key[name]
        if self.row is None:
            raise AttributeError(
                f"{name!r} of a draft of {self.factory.__name__} is generated when it is written:"
                " give it, or call `seed.flush()` before."
            )
        return getattr(self.row, name)

    def set(self, name: str, value: Any) -> None:
        """Give it a value; raise `BulkError` if it is written."""
        if self.row is not None:
            raise BulkError(
                f"{name!r} of a draft of {self.factory.__name__} is set too late: it is written"
                " already. Set it before `seed.flush()`, and in the same item of `seed.progress`."
            )
        self.values[name] = value


class Drafts:
    """The drafts of a scenario that are not written yet."""

    def __init__(self, session: Session, base: Any) -> None:
        """:param base: the class of factories whose methods bulk creation replaces."""
        self._session = session
        self._base = base
        self._maker: Maker | None = None
        self._pending: list[PendingRow] = []
        self._compiled: dict[Hashable, CompiledFactory] = {}
        self._written: Counter[Hashable] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        """The time that writing has taken, by table."""

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, factory: Any, values: dict[str, Any]) -> Draft:
        """Return a draft of a new row."""
        row = PendingRow(factory, values)
        self._pending.append(row)
        return Draft(row)

    def write(self) -> None:
        """Write the rows of all drafts, those of parent tables first."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        self._session.flush()
        maker = self._maker = self._maker or Maker(self._session, self._base)
        with maker.abandoning_on_error():
            self._write_all(maker, pending)

    def _write_all(self, maker: Maker, pending: list[PendingRow]) -> None:
        by_table: dict[sa.Table, list[PendingRow]] = {}
        for row in pending:
            table = sa.inspect(row.factory._meta.model).local_table
            by_table.setdefault(table, []).append(row)
        for table in next(iter(by_table)).metadata.sorted_tables:
            if table in by_table:
                begun = time.perf_counter()
                self._write_table(maker, by_table[table])
                maker.finish()
                self.seconds[table.name] += time.perf_counter() - begun

    def _write_table(self, maker: Maker, pending: list[PendingRow]) -> None:
        groups: dict[Hashable, list[PendingRow]] = {}
        for row in pending:
            groups.setdefault(_shape(row), []).append(row)
        blocks = [
            (self._chunk(maker, shape, group[start : start + CHUNK]), group[start : start + CHUNK])
            for shape, group in groups.items()
            for start in range(0, len(group), CHUNK)
        ]
        _assign_keys(pending, blocks)
        # Rows of the table can refer to each other from here on.
        for chunk, block in blocks:
            for at, row in enumerate(block):
                row.row = EvaluatedRow(chunk, at)
        write([chunk for chunk, _ in blocks])
        for chunk, _ in blocks:
            maker.make_children(chunk)

    def _chunk(self, maker: Maker, shape: Hashable, block: list[PendingRow]) -> StoredChunk:
        if shape not in self._compiled:
            factory = block[0].factory
            path = f"{maker.seed}/{factory.__name__}.{len(self._compiled)}"
            self._compiled[shape] = maker.compile(factory, path, _given(block[0]))
        compiled, first = self._compiled[shape], self._written[shape]
        self._written[shape] += len(block)
        supplied: dict[str, Values] = {
            name: Listed([row.values[name] for row in block])
            for name, value in compiled.given.items()
            if isinstance(value, Supplied)
        }
        rows = range(first, first + len(block))
        return maker.chunk(compiled, rows, str(first), supplied=supplied)


def _is_fixed(factory: Any, name: str, value: Any) -> bool:
    """Return whether a value decides how a row is evaluated, and is not only its own."""
    return isinstance(value, declarations.BaseDeclaration) or _decides(factory, name)


@cache
def _decides(factory: Any, name: str) -> bool:
    """Return whether a name is that of a parameter, or of a value for parents or children."""
    root, nested, _ = name.partition(enums.SPLITTER)
    meta = factory._meta
    return bool(nested) or name in meta.parameters or root in meta.post_declarations


def _shape(row: PendingRow) -> Hashable:
    """Return a key that is equal for rows that are evaluated together."""
    parts = [
        (name, id(value) if isinstance(value, declarations.BaseDeclaration) else value)
        if _is_fixed(row.factory, name, value)
        else (name, value is None)
        for name, value in row.values.items()
    ]
    return row.factory, tuple(sorted(parts, key=lambda part: part[0]))


def _given(row: PendingRow) -> dict[str, Any]:
    """Return what the factory is compiled with for rows of the same shape."""
    return {
        name: value if value is None or _is_fixed(row.factory, name, value) else Supplied()
        for name, value in row.values.items()
    }


def _assign_keys(
    pending: list[PendingRow], blocks: Sequence[tuple[StoredChunk, list[PendingRow]]]
) -> None:
    """Give each row its key. Keys from the server follow the order of the scenario."""
    storage = blocks[0][0].storage
    order = {id(row): at for at, row in enumerate(pending)}
    for key in storage.key:
        counted = [row for chunk, block in blocks if chunk.is_counted(key) for row in block]
        counted.sort(key=lambda row: order[id(row)])
        column = storage.sources[key].column.name
        numbers = storage.table.defaults(column, len(counted)) if counted else []
        for row, number in zip(counted, numbers, strict=True):
            row.key[key] = number
        for chunk, block in blocks:
            if chunk.is_counted(key):
                chunk.preset(key, Listed([row.key[key] for row in block]))
                continue
            for row, value in zip(block, chunk.stored(key), strict=True):
                row.key[key] = value
