"""Single rows of a chunk, as the functions of a factory see them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Protocol

from factory.builder import BuildStep
from sqlalchemy.orm import object_session

from .values import Picked, Values


class Rows(Protocol):
    """The methods of a chunk that concern a single row, by its position in the chunk."""

    container_positions: Sequence[int]
    sequences: Sequence[int]

    @property
    def container(self) -> Rows | None:
        """The rows that these rows are parts of."""

    def value(self, name: str, at: int) -> Any:
        """Return the value of a declaration."""

    def attribute(self, name: str, at: int) -> Any:
        """Return an attribute of a row that has been evaluated."""

    def partial_row(self, at: int) -> PartialRow:
        """Return the row as its declarations see it while it is evaluated."""

    def step(self, at: int) -> BuildStep:
        """Return factory_boy's build step for the row."""

    def is_given_parent(self, name: str, value: Any) -> bool:
        """Return whether a value is an existing parent with a collection that gets the row."""

    def is_collection(self, name: str, attribute: str) -> bool:
        """Return whether ``attribute`` of the parent ``name`` is the collection of these rows."""

    def given_collection(self, name: str, parent: Any, at: int) -> list[Any]:
        """Return that collection of an existing parent, as it is when the row is evaluated."""


class PartialRow:
    """A row that is being evaluated, as its declarations see it: attributes are columns."""

    __slots__ = ("_at", "_rows")

    def __init__(self, rows: Rows, at: int) -> None:
        self._rows = rows
        self._at = at

    def __getattr__(self, name: str) -> Any:
        value = self._rows.value(name, self._at)
        if self._rows.is_given_parent(name, value):
            return GivenParent(value, self._rows, name, self._at)
        return value

    @property
    def factory_parent(self) -> PartialRow | None:
        """The row that this row is a part of. factory_boy's resolver has the same attribute."""
        container = self._rows.container
        if container is None:
            return None
        return container.partial_row(self._rows.container_positions[self._at])


class UnloadedRow:
    """An existing row of which the key is known."""

    __slots__ = ()

    def __loaded__(self) -> Any:
        """Return the row as an instance of its model."""
        raise NotImplementedError


class GivenParent:
    """An existing parent, whose collection also contains the earlier rows of the chunk."""

    __slots__ = ("_at", "_name", "_parent", "_rows")

    def __init__(self, parent: Any, rows: Rows, name: str, at: int) -> None:
        self._parent = parent
        self._rows = rows
        self._name = name
        self._at = at

    def __getattr__(self, name: str) -> Any:
        if self._rows.is_collection(self._name, name):
            return self._rows.given_collection(self._name, self._parent, self._at)
        return getattr(self._parent, name)


class EvaluatedRow:
    """A row in place of an instance of the model."""

    __slots__ = ("_at", "_rows")

    def __init__(self, rows: Rows, at: int) -> None:
        self._rows = rows
        self._at = at

    def __getattr__(self, name: str) -> Any:
        return self._rows.attribute(name, self._at)


class RowsByParent:
    """The rows of a chunk, grouped by the existing parents that they refer to."""

    def __init__(self, parents: Values, collection: str) -> None:
        self._collection = collection
        self._keys = parents.picks if isinstance(parents, Picked) else list(map(id, parents))
        self._positions: defaultdict[int, list[int]] = defaultdict(list)
        for position, key in enumerate(self._keys):
            self._positions[key].append(position)
        self._existing: dict[int, list[Any]] = {}

    def positions(self, at: int) -> list[int]:
        """Return the rows of the chunk that have the same parent as a row."""
        return self._positions[self._keys[at]]

    def existing(self, parent: Any, at: int) -> list[Any]:
        """Return what the parent of a row had in its collection before the chunk."""
        key = self._keys[at]
        if key not in self._existing:
            loaded = parent.__loaded__() if isinstance(parent, UnloadedRow) else parent
            session = object_session(loaded)
            if session is not None:
                # The rows of earlier chunks are in the database, but a collection that was loaded
                # before they were written does not have them.
                session.refresh(loaded, [self._collection])
            self._existing[key] = list(getattr(loaded, self._collection))
        return self._existing[key]
