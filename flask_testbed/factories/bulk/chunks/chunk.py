"""Some thousand rows of a factory, evaluated column by column.

A column is evaluated when it is asked for, by the writer or by another column, for all rows of the
chunk at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from random import Random
from typing import Any

from factory.builder import BuildStep

from ....errors import BulkError
from ....randomness import drawing_from
from .compiled import CompiledFactory
from .entangled import UNSET, Entangled, EntangledColumn, EntangledColumns
from .steps import Steps, evaluate
from .values import Listed, Values
from .views import EvaluatedRow, PartialRow, RowsByParent, UnloadedRow

#: Number of rows that are evaluated and written at a time. It never depends on the size of the
#: call, so that the first rows of a long run are those of a short one.
CHUNK = 5000


class Chunk:
    """Rows of a compiled factory."""

    def __init__(
        self,
        compiled: CompiledFactory,
        rows: Sequence[int],
        index: str,
        sequences: Sequence[int],
        container: Chunk | None = None,
        container_positions: Sequence[int] | None = None,
        supplied: Mapping[str, Values] | None = None,
    ) -> None:
        self.compiled = compiled
        self.rows = rows
        """The numbers of the rows in the whole call, from 0."""

        self.index = index
        """Tells the chunk from others of the call, in the names of its random streams."""

        self.sequences = sequences
        """The number of each row in the sequence of its factory."""

        self.container = container
        """The chunk that these rows are parts of: of parents, the rows that they are made for."""

        self.container_positions = (
            range(len(rows)) if container_positions is None else container_positions
        )
        """For each row, the position in the container of the row that it is a part of."""

        self.current = 0
        """The position of the row that is being evaluated. Rows before it have their values."""

        self._supplied = supplied or {}
        self._columns: dict[str, Values] = {}
        #: Columns that are being evaluated row by row: the values so far.
        self._partial: dict[str, Sequence[Any]] = {}
        #: The columns that are being evaluated, outermost first.
        self._evaluating: list[str] = []
        #: For each collection of these rows: the chunk of the children, and the positions in it
        #: of each row's own.
        self._children: dict[str, tuple[Chunk, dict[int, list[int]]]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.index} of {self.compiled.path}: {len(self)} rows>"

    @property
    def whole(self) -> Chunk:
        """The chunk that a selection is taken from; the chunk itself if it is no selection."""
        return self

    @property
    def positions(self) -> Sequence[int]:
        """The positions of the rows in `whole`."""
        return range(len(self))

    def random(self, name: str) -> Random:
        """Return the stream of a declaration, which no other column and no other chunk uses."""
        return Random(self.stream(name))

    def stream(self, name: str) -> str:
        """Return the name of that stream."""
        return f"{self.compiled.path}.{name}/{self.index}"

    def supplied(self, name: str) -> Values:
        """Return the values that the caller gives for each row."""
        return self._supplied[name]

    def declares(self, name: str) -> bool:
        """Return whether there is a column of that name."""
        return name in self.compiled.declarations

    def column(self, name: str) -> Values:
        """Return the values of a declaration."""
        if name not in self._columns:
            self._columns[name] = self._evaluated(name)
        return self._columns[name]

    def value(self, name: str, at: int) -> Any:
        """Return the value of a declaration in one row; raise `AttributeError` if there is none."""
        values = self._columns.get(name)
        if values is None:
            if name in self._partial:
                return self._partial_value(name, at)
            if name not in self.compiled.declarations:
                raise AttributeError(
                    f"{self.compiled.factory.__name__} declares no {name!r}, and the call gives"
                    " none."
                )
            values = self.column(name)
        return values[at]

    def _evaluated(self, name: str) -> Values:
        group = self.compiled.group_of(name)
        if group is None:
            if name in self._evaluating:
                raise Entangled(name, self)
            current = self.current
            self._evaluating.append(name)
            try:
                return self.compiled.node(name).fill(self)
            except Entangled as error:
                if error.chunk is not self:
                    raise
                error.names.add(name)
                if error.name != name:
                    raise
                group = frozenset(error.names)
                self.compiled.entangled.append(group)
            finally:
                self._evaluating.pop()
                self._partial.pop(name, None)
                self.current = current
        return self._evaluated_together(group)[name]

    # Columns that are evaluated row by row

    def publish(self, values: list[Any]) -> None:
        """Let other rows read a list as the column that is being evaluated, while it grows."""
        if self._evaluating:
            self._partial[self._evaluating[-1]] = values

    def _partial_value(self, name: str, at: int) -> Any:
        values = self._partial[name]
        if at >= len(values) or values[at] is UNSET:
            raise Entangled(name, self)
        return values[at]

    def _evaluated_together(self, group: frozenset[str]) -> dict[str, Values]:
        """Evaluate columns that need each other row by row, as factory_boy does."""
        names = sorted(group)
        columns = EntangledColumns(names, len(self), self._evaluate_value)
        current = self.current
        self._partial.update({name: EntangledColumn(columns, name) for name in names})
        try:
            with drawing_from(self.stream("+".join(names))):
                for at in range(len(self)):
                    self.current = at
                    for name in names:
                        columns.value(name, at)
        finally:
            self.current = current
            for name in names:
                del self._partial[name]
        found: dict[str, Values] = {name: Listed(cells) for name, cells in columns.cells.items()}
        self._columns.update(found)
        return found

    def _evaluate_value(self, name: str, at: int) -> Any:
        found = self.compiled.declarations[name]
        return evaluate(self, at, found.declaration, found.context)

    # Rows as factory_boy sees them

    def partial_row(self, at: int) -> PartialRow:
        """Return what a declaration gets as the object that is being made."""
        return PartialRow(self, at)

    def step(self, at: int) -> BuildStep:
        """Return what a declaration gets as the step that makes the row."""
        return self._steps.step(at)

    @cached_property
    def _steps(self) -> Steps:
        return Steps(self, self.compiled.factory, self.compiled.given)

    # Rows as other rows see them

    def attribute(self, name: str, at: int) -> Any:
        """Return an attribute of a row: a declared one, a column, or a collection."""
        if name in self._partial:
            return self._partial_value(name, at)
        if name in self._children:
            return self._collection(name, at)
        if name in self.compiled.stored:
            return self.stored(name)[at]
        if self.compiled.is_attribute(name):
            return self.value(name, at)
        return self.undeclared(name)

    def attributes(self, name: str, positions: Sequence[int]) -> Values:
        """Return an attribute of the rows at some positions."""
        if name in self._children:
            return Listed([self.attribute(name, at) for at in positions])
        if name in self.compiled.stored:
            values = self.stored(name)
        elif self.compiled.is_attribute(name):
            values = self.column(name)
        else:
            return Listed([self.undeclared(name) for _ in positions])
        return values if isinstance(positions, range) else values.take(positions)

    def undeclared(self, name: str) -> Any:
        """Return an attribute that is neither declared nor a column, or raise."""
        raise AttributeError(
            f"A row that {self.compiled.factory.__name__} makes in bulk has no {name!r}: it is not"
            " declared. Declare it, or make the rows one by one with `_exact=True`."
        )

    def stored(self, name: str) -> Values:
        """Return the values of a column of the table, by its attribute."""
        raise BulkError(f"{self.compiled.factory.__name__} makes no rows of a table.")

    # Collections

    def link_children(self, collection: str, children: Chunk, parents: Sequence[int]) -> None:
        """Show the rows of another chunk in a collection of these rows.

        :param parents: the position of each child's parent in this chunk.
        """
        positions: dict[int, list[int]] = {}
        for child, parent in enumerate(parents):
            positions.setdefault(parent, []).append(child)
        self._children[collection] = (children, positions)

    def _collection(self, name: str, at: int) -> list[EvaluatedRow]:
        children, positions = self._children[name]
        evaluated = (child for child in positions.get(at, ()) if child < children.current)
        return [EvaluatedRow(children, child) for child in evaluated]

    def is_given_parent(self, name: str, value: Any) -> bool:
        """Return whether a value is an existing parent with a collection that gets the row."""
        collection = self.compiled.collections.get(name)
        return collection is not None and isinstance(value, (collection.model, UnloadedRow))

    def is_collection(self, name: str, attribute: str) -> bool:
        """Return whether ``attribute`` of the parent ``name`` is the collection of these rows."""
        return self.compiled.collections[name].name == attribute

    def given_collection(self, name: str, parent: Any, at: int) -> list[Any]:
        """Return that collection of an existing parent, as it is when the row is evaluated."""
        if name not in self._by_given_parent:
            collection = self.compiled.collections[name].name
            self._by_given_parent[name] = RowsByParent(self.column(name), collection)
        rows = self._by_given_parent[name]
        earlier = (other for other in rows.positions(at) if other < self.current)
        return [*rows.existing(parent, at), *(EvaluatedRow(self, other) for other in earlier)]

    @cached_property
    def _by_given_parent(self) -> dict[str, RowsByParent]:
        return {}


class Selection(Chunk):
    """Some rows of a chunk, for a declaration that no other rows have."""

    def __init__(self, whole: Chunk, positions: list[int]) -> None:
        super().__init__(
            whole.compiled,
            [whole.rows[at] for at in positions],
            whole.index,
            [whole.sequences[at] for at in positions],
            whole.container,
            [whole.container_positions[at] for at in positions],
        )
        self._whole = whole
        self._positions = positions

    @property
    def whole(self) -> Chunk:
        return self._whole

    @property
    def positions(self) -> list[int]:
        return self._positions

    def column(self, name: str) -> Values:
        return self._whole.column(name).take(self._positions)

    def value(self, name: str, at: int) -> Any:
        return self._whole.value(name, self._positions[at])

    def supplied(self, name: str) -> Values:
        return self._whole.supplied(name).take(self._positions)

    def partial_row(self, at: int) -> PartialRow:
        self._whole.current = self._positions[at]
        return self._whole.partial_row(self._positions[at])

    def step(self, at: int) -> BuildStep:
        return self._whole.step(self._positions[at])
