"""Declarations that are evaluated row by row."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ....randomness import drawing_from
from ..chunks.chunk import Chunk, Selection
from ..chunks.compiled import ColumnNode
from ..chunks.steps import evaluate
from ..chunks.values import Listed, Values


class RowByRow(ColumnNode):
    """Evaluates a declaration for one row after another, with random streams of its own."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fill(self, chunk: Chunk) -> Values:
        values: list[Any] = []
        with drawing_from(chunk.stream(self.name)):
            if not isinstance(chunk, Selection):
                chunk.publish(values)
            for value in self.each(chunk):
                values.append(value)
                chunk.current = len(values)
        chunk.current = 0
        return Listed(values)

    @abstractmethod
    def each(self, chunk: Chunk) -> Iterable[Any]:
        """Yield the values, one by one."""


class Function(RowByRow):
    """A function of the row, of its number in the factory's sequence, of both, or of neither."""

    def __init__(
        self, name: str, function: Callable[..., Any], *, row: bool = False, number: bool = False
    ) -> None:
        super().__init__(name)
        self.function = function
        self.row = row
        self.number = number

    def each(self, chunk: Chunk) -> Iterable[Any]:
        arguments: list[Iterable[Any]] = []
        if self.row:
            arguments.append(map(chunk.partial_row, range(len(chunk))))
        if self.number:
            arguments.append(chunk.sequences)
        if not arguments:
            return (self.function() for _ in range(len(chunk)))
        return map(self.function, *arguments)


class Native(RowByRow):
    """Any other declaration: factory_boy evaluates it, as for a single row."""

    def __init__(self, name: str, declaration: Any, context: Mapping[str, Any]) -> None:
        super().__init__(name)
        self.declaration = declaration
        self.context = context

    def each(self, chunk: Chunk) -> Iterable[Any]:
        for at in range(len(chunk)):
            yield evaluate(chunk, at, self.declaration, self.context)
