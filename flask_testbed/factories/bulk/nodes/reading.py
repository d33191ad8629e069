"""Declarations whose values are there already: constants, other columns, branches."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from factory import declarations

from ...._compat import has_default
from ..chunks.chunk import Chunk, Selection
from ..chunks.compiled import ColumnNode
from ..chunks.values import AttributeReader, Merged, Same, Values


class Constant(ColumnNode):
    """One value for all rows."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def fill(self, chunk: Chunk) -> Values:
        return Same(self.value, len(chunk))


class SuppliedColumn(ColumnNode):
    """Values that the chunk was supplied with."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fill(self, chunk: Chunk) -> Values:
        return chunk.supplied(self.name)


class Attribute(ColumnNode):
    """Another column of the row, or of a row that contains it."""

    def __init__(self, declaration: declarations.SelfAttribute) -> None:
        self.depth = declaration.depth
        self.names = declaration.attribute_name.split(".")
        self.default = declaration.default
        self.has_default = has_default(declaration)

    def fill(self, chunk: Chunk) -> Values:
        container, positions = _container(chunk, self.depth - 1)
        first, *rest = self.names
        if self.has_default and not container.declares(first):
            return Same(self.default, len(chunk))
        values = container.column(first)
        if positions is not None:
            values = values.take(positions)
        for name in rest:
            values = values.mapped(self._reader(name))
        return values

    def _reader(self, name: str) -> Callable[[Any], Any]:
        if not self.has_default:
            return AttributeReader(name)
        return lambda value: getattr(value, name, self.default)


def _container(chunk: Chunk, levels: int) -> tuple[Chunk, list[int] | None]:
    """Return the chunk some levels above, and each row's position in it (None: the same)."""
    if levels <= 0:
        return chunk, None
    positions = list(chunk.container_positions)
    while levels > 0:
        if chunk.container is None:
            raise AttributeError(f"{chunk.compiled.factory.__name__} makes no part of another row.")
        chunk, levels = chunk.container, levels - 1
        if levels:
            positions = [chunk.container_positions[at] for at in positions]
    return chunk, positions


class Branches(ColumnNode):
    """One of two declarations (``factory.Maybe``), each evaluated only for the rows that need it.

    The nodes are created when they are first needed: a declaration may contain itself in a branch
    that no row takes.
    """

    def __init__(
        self,
        decider: Callable[[], ColumnNode],
        yes: Callable[[], ColumnNode],
        no: Callable[[], ColumnNode],
    ) -> None:
        self._decider = cache(decider)
        self._branches = {True: cache(yes), False: cache(no)}

    def fill(self, chunk: Chunk) -> Values:
        choices = self._decider().fill(chunk)
        if isinstance(choices, Same):
            return self._branches[bool(choices.value)]().fill(chunk)
        rows: dict[bool, list[int]] = {True: [], False: []}
        for at, choice in enumerate(choices):
            rows[bool(choice)].append(at)
        chosen = [choice for choice in rows if rows[choice]]
        if len(chosen) == 1:
            return self._branches[chosen[0]]().fill(chunk)
        parts = [
            (rows[choice], self._branches[choice]().fill(Selection(chunk, rows[choice])))
            for choice in chosen
        ]
        return Merged(len(chunk), list(parts))
