"""A factory that is compiled: which node fills which column of its chunks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from factory.builder import DeclarationSet

from .values import Values


class ColumnNode(ABC):
    """Evaluates one declaration for whole chunks. It may keep a pool of values between chunks."""

    @abstractmethod
    def fill(self, chunk: Any) -> Values:
        """Return the values for the rows of a `Chunk`."""


class Compiler(Protocol):
    """Creates the node of a declaration."""

    def __call__(
        self, compiled: CompiledFactory, name: str, declaration: Any, context: Mapping[str, Any], /
    ) -> ColumnNode: ...


@dataclass(frozen=True)
class ParentCollection:
    """The collection of a parent that contains the rows that refer to it."""

    model: type
    """The model of the parent."""

    name: str
    """The attribute of the parent."""


@dataclass(eq=False)
class CompiledFactory:
    """A factory with what a call gives: a node for each column. All its chunks share it."""

    factory: Any
    path: str
    """The name of its random streams: a function of the seed and of the place in the factory."""

    declarations: DeclarationSet
    given: Mapping[str, Any]
    """What the call gives, as opposed to what is declared."""

    compiler: Compiler
    hidden: frozenset[str] = frozenset()
    """Declarations that are no attributes of a row: parameters, and those that are excluded."""

    stored: frozenset[str] = frozenset()
    """The attributes for which the table has a column."""

    collections: Mapping[str, ParentCollection] = field(default_factory=dict)
    """The collection that gets the row, for each declaration of a parent that has one."""

    entangled: list[frozenset[str]] = field(default_factory=list, init=False)
    """Groups of columns that were found to need each other."""

    _nodes: dict[str, ColumnNode] = field(default_factory=dict, init=False)

    def node(self, name: str) -> ColumnNode:
        """Return what evaluates the declaration of a name."""
        if name not in self._nodes:
            found = self.declarations[name]
            self._nodes[name] = self.compiler(self, name, found.declaration, found.context)
        return self._nodes[name]

    def group_of(self, name: str) -> frozenset[str] | None:
        """Return the columns that must be evaluated together with one, or None."""
        return next((group for group in self.entangled if name in group), None)

    def is_attribute(self, name: str) -> bool:
        """Return whether a row has a declared attribute of this name."""
        return name in self.declarations and name not in self.hidden
