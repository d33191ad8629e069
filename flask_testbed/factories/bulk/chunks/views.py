"""Single rows of a chunk, as the functions of a factory see them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Protocol

from sqlalchemy.orm import object_session

from .values import Picked, Values


class Cells(Protocol):
    """What has rows."""

    places: Sequence[int]

    @property
    def container(self) -> Cells | None:
        """The rows of which these are parts."""

    def stub(self, at: int) -> Stub:
        """The row at a position, as it is made."""

    def cell(self, name: str, at: int) -> Any:
        """The value of a declaration."""

    def attribute(self, name: str, at: int) -> Any:
        """An attribute of a row that is made."""

    def is_given_parent(self, name: str, value: Any) -> bool:
        """Whether a value is a row, with a collection, that was there before."""

    def is_collection_of(self, name: str, collection: str) -> bool:
        """Whether rows are in that collection of the parent that they call ``name``."""

    def family(self, name: str, parent: Any, at: int) -> list[Any]:
        """What a given parent has in that collection when a row is made."""


class Stub:
    """The row that is being made, as a declaration sees it: its attributes are the columns."""

    __slots__ = ("_at", "_chunk")

    def __init__(self, chunk: Cells, at: int) -> None:
        self._chunk = chunk
        self._at = at

    def __getattr__(self, name: str) -> Any:
        value = self._chunk.cell(name, self._at)
        if self._chunk.is_given_parent(name, value):
            return Relative(value, self._chunk, name, self._at)
        return value

    @property
    def factory_parent(self) -> Stub | None:
        """The row that this one is a part of."""
        container = self._chunk.container
        return None if container is None else container.stub(self._chunk.places[self._at])


class Lookup:
    """A row that is known by its key."""

    __slots__ = ()

    def __loaded__(self) -> Any:
        """The row as an object of its model."""
        raise NotImplementedError


class Relative:
    """A given parent, whose collection holds the elder siblings of a row, too."""

    __slots__ = ("_at", "_chunk", "_name", "_parent")

    def __init__(self, parent: Any, chunk: Cells, name: str, at: int) -> None:
        self._parent = parent
        self._chunk = chunk
        self._name = name
        self._at = at

    def __getattr__(self, name: str) -> Any:
        if self._chunk.is_collection_of(self._name, name):
            return self._chunk.family(self._name, self._parent, self._at)
        return getattr(self._parent, name)


class Row:
    """A row that is made, as others see it: what an instance of the model would be."""

    __slots__ = ("_at", "_chunk")

    def __init__(self, chunk: Cells, at: int) -> None:
        self._chunk = chunk
        self._at = at

    def __getattr__(self, name: str) -> Any:
        return self._chunk.attribute(name, self._at)


class Family:
    """The rows of a chunk by their given parents, whose collections they will be in."""

    def __init__(self, parents: Values, collection: str) -> None:
        self._collection = collection
        self._keys = parents.picks if isinstance(parents, Picked) else list(map(id, parents))
        self._places: defaultdict[int, list[int]] = defaultdict(list)
        for place, key in enumerate(self._keys):
            self._places[key].append(place)
        self._elders: dict[int, list[Any]] = {}

    def siblings(self, at: int) -> list[int]:
        """The rows that have the parent of a row."""
        return self._places[self._keys[at]]

    def elders(self, parent: Any, at: int) -> list[Any]:
        """What the parent of a row had in its collection before the chunk."""
        key = self._keys[at]
        if key not in self._elders:
            found = parent.__loaded__() if isinstance(parent, Lookup) else parent
            session = object_session(found)
            if session is not None:
                # Those of earlier chunks are written, and may not be what it has loaded.
                session.refresh(found, [self._collection])
            self._elders[key] = list(getattr(found, self._collection))
        return self._elders[key]
