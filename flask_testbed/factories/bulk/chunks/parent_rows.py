"""Rows of another chunk: the parents of rows that are made in bulk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .chunk import Chunk
from .compiled import CompiledFactory
from .values import AttributeReader, Values
from .views import EvaluatedRow


class ParentRows(Values):
    """For each row, a row of another chunk."""

    def __init__(self, chunk: Chunk, positions: Sequence[int]) -> None:
        self.chunk = chunk
        self.positions = positions

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, at: int) -> EvaluatedRow:
        return EvaluatedRow(self.chunk, self.positions[at])

    def take(self, positions: Sequence[int]) -> Values:
        return ParentRows(self.chunk, [self.positions[at] for at in positions])

    def mapped(self, function: Any) -> Values:
        if isinstance(function, AttributeReader):
            return self.chunk.attributes(function.name, self.positions)
        return super().mapped(function)


class RowMaker(Protocol):
    """Makes rows of other factories, for the declarations that need them."""

    def compile(self, factory: Any, path: str, given: Mapping[str, Any]) -> CompiledFactory:
        """Compile a factory with what is given."""
        ...

    def make(
        self,
        compiled: CompiledFactory,
        rows: Sequence[int],
        index: str,
        container: Chunk,
        container_positions: Sequence[int],
        supplied: Mapping[str, Values] | None = None,
    ) -> Chunk:
        """Evaluate rows and, if the factory has a table, write them."""
        ...
