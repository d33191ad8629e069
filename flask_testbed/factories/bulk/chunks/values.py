"""The values of one column for one chunk of rows, in whichever form is cheapest to make and send.

Python objects are created only for values that are read.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from random import Random
from typing import Any, Final

#: PostgreSQL stores a moment as the number of microseconds since this one.
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

#: Number of different values that are drawn where drawing is slow; other rows pick among them.
POOL = 2048


class Missing:
    """The type of `MISSING`."""

    def __repr__(self) -> str:
        return "MISSING"


#: Marks a row that has no value for a column. The column gets its default, or null.
MISSING: Final = Missing()


@dataclass(frozen=True, eq=False)
class Encoder:
    """How the values of a column are encoded for COPY."""

    encode: Callable[[Any], bytes]
    """Returns a value as COPY expects it: its length in four bytes, then its data."""

    plain: str = ""
    """Name of the function with which the server reads a value, such as ``uuid_recv``; empty if
    the model's type processes values before they are sent."""


class Values(ABC):
    """The values of a column, by position in the chunk."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, at: int) -> Any: ...

    def __iter__(self) -> Iterator[Any]:
        return iter([self[at] for at in range(len(self))])

    def take(self, positions: Sequence[int]) -> Values:
        """Return the values at some positions, in that order."""
        return Listed([self[at] for at in positions])

    def mapped(self, function: Callable[[Any], Any]) -> Values:
        """Apply a function to each value; it is called once for values known to be equal."""
        return Listed([function(value) for value in self])

    def attribute(self, name: str) -> Values:
        """Return an attribute of each value; it is None where the value is."""
        return self.mapped(AttributeReader(name))

    def encoded(self, encoder: Encoder) -> list[bytes] | bytes:
        """Return each value as COPY expects it, or a single one if all are the same."""
        return list(map(encoder.encode, self))


class AttributeReader:
    """Reads an attribute. Readers of one name are equal, so that a pool reads it once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._read = attrgetter(name)

    def __call__(self, value: Any) -> Any:
        return value if value is None or value is MISSING else self._read(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AttributeReader) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


class Same(Values):
    """One value in every row."""

    def __init__(self, value: Any, size: int) -> None:
        self.value = value
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, at: int) -> Any:
        return self.value

    def take(self, positions: Sequence[int]) -> Values:
        return Same(self.value, len(positions))

    def mapped(self, function: Callable[[Any], Any]) -> Values:
        return Same(function(self.value), self.size)

    def encoded(self, encoder: Encoder) -> bytes:
        return encoder.encode(self.value)


class Listed(Values):
    """A value for each row."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, at: int) -> Any:
        return self.values[at]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)


class Pool:
    """Values among which rows pick, with the results of functions of them. It can grow."""

    def __init__(self, entries: list[Any], *, drawn: bool = False) -> None:
        self.entries = entries
        self.drawn = drawn
        """Whether the values were generated, as opposed to given by the caller."""

        self._mapped: dict[Any, Pool] = {}
        self._encoded: dict[Encoder, list[bytes]] = {}

    def mapped(self, function: Callable[[Any], Any]) -> Pool:
        """Return a pool of what ``function`` returns for each entry; it is called once for each."""
        made = self._mapped.setdefault(function, Pool([], drawn=self.drawn))
        made.entries.extend(map(function, self.entries[len(made.entries) :]))
        return made

    def encoded(self, encoder: Encoder) -> list[bytes]:
        """Return each entry as COPY expects it."""
        made = self._encoded.setdefault(encoder, [])
        made.extend(map(encoder.encode, self.entries[len(made) :]))
        return made


def picks(random: Random, count: int, size: int) -> list[int]:
    """Draw ``size`` positions in a pool of ``count`` entries."""
    draw = random.random
    return [int(draw() * count) for _ in range(size)]


class Picked(Values):
    """An entry of a pool for each row."""

    def __init__(self, pool: Pool, picks: list[int]) -> None:
        self.pool = pool
        self.picks = picks

    def __len__(self) -> int:
        return len(self.picks)

    def __getitem__(self, at: int) -> Any:
        return self.pool.entries[self.picks[at]]

    def __iter__(self) -> Iterator[Any]:
        entries = self.pool.entries
        return iter([entries[pick] for pick in self.picks])

    def take(self, positions: Sequence[int]) -> Values:
        return Picked(self.pool, [self.picks[at] for at in positions])

    def mapped(self, function: Callable[[Any], Any]) -> Values:
        return Picked(self.pool.mapped(function), self.picks)

    def encoded(self, encoder: Encoder) -> list[bytes]:
        entries = self.pool.encoded(encoder)
        return [entries[pick] for pick in self.picks]


class Moments(Values):
    """Moments in UTC, in microseconds since `EPOCH`."""

    def __init__(self, microseconds: list[int]) -> None:
        self.microseconds = microseconds

    def __len__(self) -> int:
        return len(self.microseconds)

    def __getitem__(self, at: int) -> datetime:
        return EPOCH + timedelta(microseconds=self.microseconds[at])

    def take(self, positions: Sequence[int]) -> Values:
        return Moments([self.microseconds[at] for at in positions])

    def encoded(self, encoder: Encoder) -> list[bytes] | bytes:
        if encoder.plain != "timestamptz_recv":
            return super().encoded(encoder)
        length = b"\0\0\0\x08"
        return [length + at.to_bytes(8, "big", signed=True) for at in self.microseconds]


class Uuids(Values):
    """UUIDs, 16 bytes for each row."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data) // 16

    def __getitem__(self, at: int) -> uuid.UUID:
        return uuid.UUID(bytes=self.data[16 * at : 16 * at + 16])

    def encoded(self, encoder: Encoder) -> list[bytes] | bytes:
        if encoder.plain != "uuid_recv":
            return super().encoded(encoder)
        data, length = self.data, b"\0\0\0\x10"
        return [length + data[at : at + 16] for at in range(0, len(data), 16)]


class Merged(Values):
    """Values that were evaluated separately for parts of the rows."""

    def __init__(self, size: int, parts: list[tuple[Sequence[int], Values]]) -> None:
        self.parts = parts
        self._values: list[Any] = [None] * size
        for positions, values in parts:
            for at, value in zip(positions, values, strict=True):
                self._values[at] = value

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, at: int) -> Any:
        return self._values[at]

    def mapped(self, function: Callable[[Any], Any]) -> Values:
        parts = [(positions, values.mapped(function)) for positions, values in self.parts]
        return Merged(len(self), parts)

    def encoded(self, encoder: Encoder) -> list[bytes]:
        fields = [b""] * len(self)
        for positions, values in self.parts:
            encoded = values.encoded(encoder)
            if isinstance(encoded, bytes):
                encoded = [encoded] * len(positions)
            for at, field in zip(positions, encoded, strict=True):
                fields[at] = field
        return fields
