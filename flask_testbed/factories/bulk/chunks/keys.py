"""The keys of rows that were made in bulk."""

from __future__ import annotations

import uuid
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, overload

from sqlalchemy.orm import Mapper

from .values import Uuids, Values


def key_attributes(mapper: Mapper[Any]) -> list[str]:
    """Return the attributes that a model has for its primary key."""
    return [mapper.get_property_by_column(column).key for column in mapper.primary_key]


class Keys(Sequence[Any]):
    """The primary keys of rows, in the order of the rows. Composite keys are tuples.

    A million of them take 16 MB if they are UUIDs, 8 MB if they are integers.
    """

    def __init__(self, model: type) -> None:
        self.model = model
        """The model of the rows."""

        self._store: bytearray | array[int] | list[Any] = []

    def extend(self, keys: Values | Iterable[Any]) -> None:
        """Append keys, and store all in the most compact form that can represent them."""
        if isinstance(keys, Uuids):
            self._extend_bytes(keys.data)
            return
        found = list(keys)
        if found and all(type(key) is int and key.bit_length() < 64 for key in found):
            self._extend_integers(found)
        elif found and all(type(key) is uuid.UUID for key in found):
            self._extend_bytes(b"".join(key.bytes for key in found))
        elif found:
            self._store = [*self, *found]

    def _extend_bytes(self, data: bytes) -> None:
        if not len(self):
            self._store = bytearray()
        if isinstance(self._store, bytearray):
            self._store += data
        else:
            self._store = [*self, *Uuids(data)]

    def _extend_integers(self, numbers: list[int]) -> None:
        if not len(self):
            self._store = array("q")
        if isinstance(self._store, array):
            self._store.extend(numbers)
        else:
            self._store = [*self, *numbers]

    def __len__(self) -> int:
        size = len(self._store)
        return size // 16 if isinstance(self._store, bytearray) else size

    @overload
    def __getitem__(self, at: int) -> Any: ...
    @overload
    def __getitem__(self, at: slice) -> list[Any]: ...
    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        if not -len(self) <= at < len(self):
            raise IndexError(f"there are {len(self)} keys, and none at {at}")
        if isinstance(self._store, bytearray):
            start = at % len(self) * 16
            return uuid.UUID(bytes=bytes(self._store[start : start + 16]))
        return self._store[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def __repr__(self) -> str:
        return f"<{len(self):,} keys of {self.model.__name__}>"
