"""Declarations that read other values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from factory import declarations

from ..chunks.chunk import Chunk, Node, Selection
from ..chunks.values import (
    Merged,
    Part,
    Same,
    Values,
)


class Constant(Node):
    """One value for all rows."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def fill(self, chunk: Chunk) -> Values:
        return Same(self.value, len(chunk))


class Attribute(Node):
    """The value of another column, of this row or of one that it is a part of."""

    def __init__(self, declaration: declarations.SelfAttribute) -> None:
        self.depth = declaration.depth
        self.names = declaration.attribute_name.split(".")
        self.default = declaration.default

    def fill(self, chunk: Chunk) -> Values:
        target, positions = _outwards(chunk, self.depth - 1)
        first, *rest = self.names
        if not target.declares(first) and self.default is not declarations._UNSPECIFIED:
            return Same(self.default, len(chunk))
        values = target.column(first)
        if positions is not None:
            values = values.take(positions)
        for name in rest:
            values = values.mapped(self._reader(name))
        return values

    def _reader(self, name: str) -> Callable[[Any], Any]:
        if self.default is declarations._UNSPECIFIED:
            return Part(name)
        return lambda value: getattr(value, name, self.default)


def _outwards(chunk: Chunk, levels: int) -> tuple[Chunk, list[int] | None]:
    """The rows of which those of a chunk are parts, and where each one's is."""
    if levels <= 0:
        return chunk, None
    positions = list(chunk.places)
    while levels > 0:
        if chunk.container is None:
            raise AttributeError(f"{chunk.plan.factory.__name__} makes no part of another row.")
        chunk, levels = chunk.container, levels - 1
        if levels:
            positions = [chunk.places[at] for at in positions]
    return chunk, positions


class Branches(Node):
    """One of two declarations, each evaluated for its own rows alone."""

    def __init__(
        self, decider: Callable[[], Node], yes: Callable[[], Node], no: Callable[[], Node]
    ) -> None:
        # Made when first needed: a declaration may contain itself in a branch that is not taken.
        self._decider = decider
        self._branches = {True: yes, False: no}
        self._made: dict[object, Node] = {}

    def fill(self, chunk: Chunk) -> Values:
        choices = self._node("decider", self._decider).fill(chunk)
        if isinstance(choices, Same):
            return self._branch(bool(choices.value)).fill(chunk)
        rows: dict[bool, list[int]] = {True: [], False: []}
        for at, choice in enumerate(choices):
            rows[bool(choice)].append(at)
        taken = [choice for choice in rows if rows[choice]]
        if len(taken) == 1:
            return self._branch(taken[0]).fill(chunk)
        parts = [
            (rows[choice], self._branch(choice).fill(Selection(chunk, rows[choice])))
            for choice in taken
        ]
        return Merged(len(chunk), list(parts))

    def _branch(self, choice: bool) -> Node:
        return self._node(choice, self._branches[choice])

    def _node(self, key: object, make: Callable[[], Node]) -> Node:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]
