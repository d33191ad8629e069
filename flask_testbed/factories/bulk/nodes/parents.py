"""Declarations that contain declarations: parents, dictionaries and lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...declarations import SharedParent
from ..chunks.chunk import Chunk
from ..chunks.compiled import ColumnNode, CompiledFactory
from ..chunks.parent_rows import ParentRows, RowMaker
from ..chunks.values import Listed, Same, Values
from .row_by_row import Native


class Parents(ColumnNode):
    """A new parent for each row."""

    def __init__(self, maker: RowMaker, path: str, factory: Any, given: Mapping[str, Any]) -> None:
        self.maker = maker
        self.compiled = maker.compile(factory, path, given)

    def fill(self, chunk: Chunk) -> Values:
        rows, index = chunk.rows, chunk.index
        parents = self.maker.make(self.compiled, rows, index, chunk.whole, chunk.positions)
        return ParentRows(parents, range(len(parents)))


class KeysOf(ColumnNode):
    """The ``id`` of a new parent for each row."""

    def __init__(self, parents: ColumnNode) -> None:
        self.parents = parents

    def fill(self, chunk: Chunk) -> Values:
        return self.parents.fill(chunk).attribute("id")


class SharedParents(ColumnNode):
    """The parents of given siblings. If a row has no sibling, factory_boy makes all parents."""

    def __init__(self, path: list[str], native: Native) -> None:
        self.path = path
        self.native = native

    def fill(self, chunk: Chunk) -> Values:
        values = chunk.column(self.path[0])
        if any(value is None for value in values):
            return self.native.fill(chunk)
        for name in self.path[1:]:
            values = values.attribute(name)
        return values


def given_path(compiled: CompiledFactory, shared: SharedParent) -> list[str] | None:
    """Return the first path to the shared parent that begins with a given row, or None."""
    for path in shared.paths:
        names = path.split(".")
        starts = ["__".join(names[:depth]) for depth in range(1, len(names) + 1)]
        if any(compiled.given.get(start) is not None for start in starts):
            return names
    return None


class Items(ColumnNode):
    """A dictionary or a list of declared items."""

    def __init__(self, maker: RowMaker, path: str, factory: Any, given: Mapping[str, Any]) -> None:
        self.compiled = maker.compile(factory, path, given)
        self.kind = factory._meta.model

    def fill(self, chunk: Chunk) -> Values:
        items = Chunk(
            self.compiled,
            chunk.rows,
            chunk.index,
            chunk.sequences,
            chunk.whole,
            chunk.positions,
        )
        names = list(self.compiled.declarations)
        columns = [items.column(name) for name in names]
        if all(isinstance(column, Same) for column in columns):
            return Same(self._collected(names, [column[0] for column in columns]), len(chunk))
        return Listed([self._collected(names, row) for row in zip(*columns, strict=True)])

    def _collected(self, names: list[str], values: Sequence[Any]) -> Any:
        if self.kind is dict:
            return dict(zip(names, values, strict=True))
        return list(values)
