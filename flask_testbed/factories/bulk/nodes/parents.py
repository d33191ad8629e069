"""Rows that come with others: parents, made before them, and children, made after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...declarations import SharedParent
from ..chunks.chunk import (
    Chunk,
    MadeRows,
    Node,
    Plan,
    Workshop,
    whole_of,
)
from ..chunks.values import Listed, Part, Same, Values
from .row_by_row import Native


class Parents(Node):
    """A new parent for each row."""

    def __init__(
        self, workshop: Workshop, plan: Plan, name: str, given: Mapping[str, Any], factory: Any
    ) -> None:
        self.workshop = workshop
        self.plan = workshop.plan(factory, f"{plan.path}.{name}", given)

    def fill(self, chunk: Chunk) -> Values:
        whole, positions = whole_of(chunk)
        made = self.workshop.make(self.plan, chunk.rows, chunk.index, whole, positions)
        return MadeRows(made, range(len(made)))


class KeysOf(Node):
    """The keys of new parents."""

    def __init__(self, parents: Node) -> None:
        self.parents = parents

    def fill(self, chunk: Chunk) -> Values:
        return self.parents.fill(chunk).part("id")


class SharedParents(Node):
    """The parents that given siblings have; if none is given, new ones."""

    def __init__(self, path: list[str], native: Native) -> None:
        self.path = path
        self.native = native

    def fill(self, chunk: Chunk) -> Values:
        values = chunk.column(self.path[0])
        if any(value is None for value in values):
            return self.native.fill(chunk)
        for name in self.path[1:]:
            values = values.mapped(Part(name))
        return values


def given_path(plan: Plan, shared: SharedParent) -> list[str] | None:
    """The path to the parent whose beginning the call gives; None if it gives none of them."""
    for path in shared.paths:
        names = path.split(".")
        starts = ["__".join(names[:depth]) for depth in range(1, len(names) + 1)]
        if any(plan.given.get(start) is not None for start in starts):
            return names
    return None


class Parts(Node):
    """A dictionary or a list, whose items are declared."""

    def __init__(
        self, workshop: Workshop, plan: Plan, name: str, given: Mapping[str, Any], factory: Any
    ) -> None:
        self.plan = workshop.plan(factory, f"{plan.path}.{name}", given)
        self.kind = factory._meta.model

    def fill(self, chunk: Chunk) -> Values:
        whole, positions = whole_of(chunk)
        parts = Chunk(self.plan, chunk.rows, chunk.index, chunk.sequences, whole, positions)
        names = list(self.plan.pre)
        columns = [parts.column(name) for name in names]
        if all(isinstance(column, Same) for column in columns):
            return Same(self._made(names, [column[0] for column in columns]), len(chunk))
        return Listed([self._made(names, row) for row in zip(*columns, strict=True)])

    def _made(self, names: list[str], values: Sequence[Any]) -> Any:
        if self.kind is dict:
            return dict(zip(names, values, strict=True))
        return list(values)
