"""Columns that need each other, in different rows: they are evaluated together, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from factory.errors import CyclicDefinitionError

#: The value of a cell that has not been evaluated.
UNSET = object()


class Entangled(Exception):
    """The evaluation of a column needs a column that waits for it."""

    def __init__(self, name: str, chunk: object) -> None:
        super().__init__(name)
        self.name = name
        self.chunk = chunk
        self.names: set[str] = set()
        """The columns between the two."""


class EntangledColumns:
    """Some columns of a chunk. Each cell is evaluated once, when it is first asked for."""

    def __init__(
        self, names: Iterable[str], size: int, evaluate: Callable[[str, int], Any]
    ) -> None:
        """:param evaluate: evaluates the declaration of a name for the row at a position."""
        self.cells = {name: [UNSET] * size for name in names}
        self._evaluate = evaluate
        self._pending: list[tuple[str, int]] = []

    def value(self, name: str, at: int) -> Any:
        """Return the value of a cell.

        :raises CyclicDefinitionError: its declaration needs the same cell.
        """
        found = self.cells[name][at]
        if found is not UNSET:
            return found
        if (name, at) in self._pending:
            raise CyclicDefinitionError(
                f"Cyclic lazy attribute definition for {name!r}; cycle found in"
                f" {[pending for pending, _ in self._pending]!r}."
            )
        self._pending.append((name, at))
        try:
            found = self.cells[name][at] = self._evaluate(name, at)
        finally:
            self._pending.pop()
        return found


class EntangledColumn(Sequence[Any]):
    """One of them."""

    def __init__(self, columns: EntangledColumns, name: str) -> None:
        self._columns = columns
        self._name = name

    def __len__(self) -> int:
        return len(self._columns.cells[self._name])

    def __getitem__(self, at: Any) -> Any:
        return self._columns.value(self._name, at)
