"""Some thousand rows of a factory, evaluated column by column.

A column is evaluated when it is asked for, by the writer or by another column, for all rows of the
chunk at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from random import Random
from typing import Any, Protocol

from factory import enums, errors
from factory.builder import BuildStep, DeclarationSet, StepBuilder

from ....errors import BulkError
from ....randomness import drawing_from
from .values import Listed, Part, Values
from .views import Family, Lookup, Row, Stub

#: How many rows are evaluated and written at a time. It never depends on how many are asked for,
#: so that the first rows of a long run are those of a short one.
CHUNK = 5000

_UNSET = object()


class Node(ABC):
    """What evaluates one declaration for a whole chunk. It may keep pools between chunks."""

    @abstractmethod
    def fill(self, chunk: Chunk) -> Values:
        """The values for the rows of a chunk."""


class Compiler(Protocol):
    """Makes nodes of declarations."""

    def __call__(
        self, plan: Plan, name: str, declaration: Any, context: Mapping[str, Any], /
    ) -> Node: ...


class Workshop(Protocol):
    """Where declarations that make rows of other factories have them made."""

    def plan(self, factory: Any, path: str, given: Mapping[str, Any]) -> Plan:
        """How rows of a factory are made."""
        ...

    def make(
        self,
        plan: Plan,
        rows: Sequence[int],
        index: str,
        container: Chunk,
        places: Sequence[int],
        supplied: Mapping[str, Values] | None = None,
    ) -> Chunk:
        """Make rows: evaluated and, if they are of a table, written."""
        ...


class Supplied(Node):
    """Values that are there already: what a caller gives for each row."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fill(self, chunk: Chunk) -> Values:
        return chunk.supplied(self.name)


class Plan:
    """How rows of a factory are made, with what the call gives: its columns as nodes."""

    def __init__(
        self,
        factory: Any,
        path: str,
        pre: DeclarationSet,
        given: Mapping[str, Any],
        compiler: Compiler,
        hidden: frozenset[str] = frozenset(),
    ) -> None:
        self.factory = factory
        self.path = path
        """Names its random streams: a function of the seed and of the place in the factory."""
        self.pre = pre
        self.given = given
        """What the call gives, as opposed to what is declared."""
        self.hidden = hidden
        """What is declared and is no attribute of a row: parameters, and what is excluded."""
        self.groups: list[frozenset[str]] = []
        self.reverse: dict[str, str] = {}
        """For each reference to a parent, the parent's collection in which the row will be."""
        self.models: tuple[type, ...] = ()
        """What such parents are."""
        self.stores: frozenset[str] = frozenset()
        """The attributes that a row has because its table has a column for them."""
        self._compiler = compiler
        self._nodes: dict[str, Node] = {}

    def node(self, name: str) -> Node:
        """What evaluates the declaration of a name."""
        if name not in self._nodes:
            found = self.pre[name]
            self._nodes[name] = self._compiler(self, name, found.declaration, found.context)
        return self._nodes[name]

    def group_of(self, name: str) -> frozenset[str] | None:
        """The columns with which one must be evaluated row by row, because they need each other."""
        return next((group for group in self.groups if name in group), None)


class Entangled(Exception):
    """A column needs another that needs it."""

    def __init__(self, name: str, chunk: Chunk) -> None:
        super().__init__(name)
        self.name = name
        self.chunk = chunk
        self.names: set[str] = set()


class Chunk:
    """Rows of a plan."""

    def __init__(
        self,
        plan: Plan,
        rows: Sequence[int],
        index: str,
        sequences: Sequence[int],
        container: Chunk | None = None,
        places: Sequence[int] | None = None,
        supplied: Mapping[str, Values] | None = None,
    ) -> None:
        self.plan = plan
        self.rows = rows
        """The numbers of the rows in the whole call, from 0."""
        self.index = index
        self.sequences = sequences
        self.container = container
        """The rows of which these are a part: of a parent, those that it was made for."""
        self.places = range(len(rows)) if places is None else places
        """For each row, where in the container that one is."""
        self.at = 0
        """The row that is being evaluated. Those before it are its elder siblings."""
        self._supplied = supplied or {}
        self._columns: dict[str, Values] = {}
        self._partial: dict[str, Sequence[Any]] = {}
        self._filling: list[str] = []
        self._kin: dict[str, tuple[Chunk, dict[int, list[int]]]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def random(self, name: str) -> Random:
        """The stream of a declaration: no other column, and no other chunk, draws from it."""
        return Random(self.stream(name))

    def stream(self, name: str) -> str:
        """The name of that stream."""
        return f"{self.plan.path}.{name}/{self.index}"

    def supplied(self, name: str) -> Values:
        """What the caller gives for each row."""
        return self._supplied[name]

    def declares(self, name: str) -> bool:
        """Whether there is a column of that name."""
        return name in self.plan.pre

    def column(self, name: str) -> Values:
        """The values of a declaration."""
        if name not in self._columns:
            self._columns[name] = self._evaluated(name)
        return self._columns[name]

    def cell(self, name: str, at: int) -> Any:
        """The value of a declaration in one row; as an attribute, it raises `AttributeError`."""
        values = self._columns.get(name)
        if values is None:
            if name in self._partial:
                return self._so_far(name, at)
            if name not in self.plan.pre:
                raise AttributeError(
                    f"{self.plan.factory.__name__} declares no {name!r}, and the call gives none."
                )
            values = self.column(name)
        return values[at]

    def _evaluated(self, name: str) -> Values:
        group = self.plan.group_of(name)
        if group is None:
            if name in self._filling:
                raise Entangled(name, self)
            here = self.at
            self._filling.append(name)
            try:
                return self.plan.node(name).fill(self)
            except Entangled as error:
                if error.chunk is not self:
                    raise
                error.names.add(name)
                if error.name != name:
                    raise
                group = frozenset(error.names)
                self.plan.groups.append(group)
            finally:
                self._filling.pop()
                self._partial.pop(name, None)
                self.at = here
        return self._together(group)[name]

    # Rows of which a part is there already

    def growing(self, values: list[Any]) -> list[Any]:
        """Let other rows see the values of the present column as they are made, in order."""
        if self._filling:
            self._partial[self._filling[-1]] = values
        return values

    def _so_far(self, name: str, at: int) -> Any:
        made = self._partial[name]
        if at >= len(made) or made[at] is _UNSET:
            raise Entangled(name, self)
        return made[at]

    # Columns that need each other

    def _together(self, group: frozenset[str]) -> dict[str, Values]:
        """Evaluate columns row by row, as factory_boy does."""
        names = sorted(group)
        cells = {name: [_UNSET] * len(self) for name in names}
        rows = _Rows(self, cells)
        here = self.at
        self._partial.update({name: _Lazy(rows, name) for name in names})
        try:
            with drawing_from(self.stream("+".join(names))):
                for at in range(len(self)):
                    self.at = at
                    for name in names:
                        rows.value(name, at)
        finally:
            self.at = here
            for name in names:
                del self._partial[name]
        self._columns.update({name: Listed(values) for name, values in cells.items()})
        return {name: self._columns[name] for name in names}

    def native(self, name: str, at: int) -> Any:
        """A value as factory_boy itself would evaluate it, in a row of this chunk."""
        found = self.plan.pre[name]
        return evaluated(self, at, found.declaration, found.context)

    # Rows as factory_boy sees them

    def stub(self, at: int) -> Stub:
        """What a declaration gets as the object that is being made."""
        return Stub(self, at)

    def step(self, at: int) -> BuildStep:
        """What a declaration gets as the step that makes it."""
        parent = self.container
        step = BuildStep(
            builder=self._builder(self._extras(at)) if self._varying else self._common_builder,
            sequence=self.sequences[at],
            parent_step=None if parent is None else parent.step(self.places[at]),
        )
        step.stub = self.stub(at)
        return step

    def _builder(self, extras: dict[str, Any]) -> StepBuilder:
        return StepBuilder(self.plan.factory._meta, extras, enums.CREATE_STRATEGY)

    @cached_property
    def _common_builder(self) -> StepBuilder:
        return self._builder(dict(self.plan.given))

    def _extras(self, at: int) -> dict[str, Any]:
        """What the call gives for a row; the values, where they differ from row to row."""
        return {
            name: self.cell(name, at) if name in self._varying else value
            for name, value in self.plan.given.items()
        }

    @cached_property
    def _varying(self) -> frozenset[str]:
        given = self.plan.given
        return frozenset(name for name in given if isinstance(given[name], Varying))

    # Rows as other rows see them

    def attribute(self, name: str, at: int) -> Any:
        """An attribute of a row that is made: a declared one, a column, or a collection."""
        if name in self._partial:
            return self._so_far(name, at)
        if name in self._kin:
            return self._siblings(name, at)
        if name in self.plan.stores:
            return self.stored(name)[at]
        if name in self.plan.pre and name not in self.plan.hidden:
            return self.cell(name, at)
        return self.unknown(name)

    def unknown(self, name: str) -> Any:
        """What to do about an attribute that is neither declared nor a column."""
        raise AttributeError(
            f"A row that {self.plan.factory.__name__} makes in bulk has no {name!r}: it is not"
            " declared. Declare it, or make the rows one by one with `_exact=True`."
        )

    def stored(self, name: str) -> Values:
        """The values of a column of the table, by its attribute."""
        raise BulkError(f"{self.plan.factory.__name__} makes no rows of a table.")

    def part(self, name: str, positions: Sequence[int]) -> Values:
        """An attribute of the rows at some positions."""
        if name in self._kin:
            return Listed([self.attribute(name, at) for at in positions])
        if name in self.plan.stores:
            return _taken(self.stored(name), positions)
        if name in self.plan.pre and name not in self.plan.hidden:
            return _taken(self.column(name), positions)
        return Listed([self.unknown(name) for _ in positions])

    def adopt(self, collection: str, children: Chunk, positions: Sequence[int]) -> None:
        """Know whose children the rows of another chunk are."""
        places: dict[int, list[int]] = {}
        for child, at in enumerate(positions):
            places.setdefault(at, []).append(child)
        self._kin[collection] = (children, places)

    def is_given_parent(self, name: str, value: Any) -> bool:
        """Whether a value is a row, with a collection, that was there before."""
        return name in self.plan.reverse and isinstance(value, (*self.plan.models, Lookup))

    def is_collection_of(self, name: str, collection: str) -> bool:
        """Whether rows are in that collection of the parent that they call ``name``."""
        return self.plan.reverse[name] == collection

    def family(self, name: str, parent: Any, at: int) -> list[Any]:
        """What a given parent has in that collection when a row is made."""
        if name not in self._families:
            self._families[name] = Family(self.column(name), self.plan.reverse[name])
        family = self._families[name]
        younger = (Row(self, place) for place in family.siblings(at) if place < self.at)
        return [*family.elders(parent, at), *younger]

    @cached_property
    def _families(self) -> dict[str, Family]:
        return {}

    def _siblings(self, name: str, at: int) -> list[Row]:
        children, places = self._kin[name]
        return [Row(children, child) for child in places.get(at, ()) if child < children.at]


def _taken(values: Values, positions: Sequence[int]) -> Values:
    return values if isinstance(positions, range) else values.take(positions)


def evaluated(chunk: Chunk, at: int, declaration: Any, context: Mapping[str, Any]) -> Any:
    """Evaluate whatever was declared as factory_boy does: for one row, through its own methods."""
    if enums.get_builder_phase(declaration) != enums.BuilderPhase.ATTRIBUTE_RESOLUTION:
        return declaration
    return declaration.evaluate_pre(
        instance=chunk.stub(at), step=chunk.step(at), overrides=dict(context)
    )


class Varying:
    """Marks what the call gives for each row, where a value for all could stand."""


class Selection(Chunk):
    """Some rows of a chunk, for a declaration that is that of no other rows."""

    def __init__(self, whole: Chunk, positions: list[int]) -> None:
        super().__init__(
            whole.plan,
            [whole.rows[at] for at in positions],
            whole.index,
            [whole.sequences[at] for at in positions],
            whole.container,
            [whole.places[at] for at in positions],
        )
        self.whole = whole
        self.positions = positions

    def column(self, name: str) -> Values:
        return self.whole.column(name).take(self.positions)

    def cell(self, name: str, at: int) -> Any:
        return self.whole.cell(name, self.positions[at])

    def supplied(self, name: str) -> Values:
        return self.whole.supplied(name).take(self.positions)

    def stub(self, at: int) -> Stub:
        self.whole.at = self.positions[at]
        return self.whole.stub(self.positions[at])

    def step(self, at: int) -> BuildStep:
        return self.whole.step(self.positions[at])


class _Rows:
    """Cells that are evaluated when they are asked for, each once."""

    def __init__(self, chunk: Chunk, cells: dict[str, list[Any]]) -> None:
        self.chunk = chunk
        self.cells = cells
        self._pending: list[tuple[str, int]] = []

    def value(self, name: str, at: int) -> Any:
        found = self.cells[name][at]
        if found is not _UNSET:
            return found
        if (name, at) in self._pending:
            raise errors.CyclicDefinitionError(
                f"Cyclic lazy attribute definition for {name!r}; cycle found in"
                f" {[pending for pending, _ in self._pending]!r}."
            )
        self._pending.append((name, at))
        try:
            found = self.cells[name][at] = self.chunk.native(name, at)
        finally:
            self._pending.pop()
        return found


class _Lazy(Sequence[Any]):
    """One column of such cells."""

    def __init__(self, rows: _Rows, name: str) -> None:
        self._rows = rows
        self._name = name

    def __len__(self) -> int:
        return len(self._rows.chunk)

    def __getitem__(self, at: Any) -> Any:
        return self._rows.value(self._name, at)


class MadeRows(Values):
    """Rows of another chunk."""

    def __init__(self, chunk: Chunk, positions: Sequence[int]) -> None:
        self.chunk = chunk
        self.positions = positions

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, at: int) -> Row:
        return Row(self.chunk, self.positions[at])

    def take(self, positions: Sequence[int]) -> Values:
        return MadeRows(self.chunk, [self.positions[at] for at in positions])

    def mapped(self, function: Any) -> Values:
        if isinstance(function, Part):
            return self.chunk.part(function.name, self.positions)
        return super().mapped(function)


def whole_of(chunk: Chunk) -> tuple[Chunk, Sequence[int]]:
    """The chunk that rows are a selection of, and where they are in it."""
    if isinstance(chunk, Selection):
        return chunk.whole, chunk.positions
    return chunk, range(len(chunk))


class Given(Varying):
    """Stands where a call gives a value for each row."""
