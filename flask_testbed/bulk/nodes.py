"""Declarations that are evaluated for all rows of a chunk at once."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Any

from factory import Faker, declarations, fuzzy

from ..declarations import After, Ago, Derived, Token
from ..randomness import drawing_from, now
from .chunk import Chunk, Node, Selection, evaluated
from .values import (
    EPOCH,
    MICROSECOND,
    POOL,
    Listed,
    Merged,
    Moments,
    Part,
    Picked,
    Pool,
    Same,
    Uuids,
    Values,
)

MILLISECOND = timedelta(milliseconds=1)

#: What makes a random byte the one of a UUID that says version 4, and the one that says variant.
_VERSION = bytes(byte & 0x0F | 0x40 for byte in range(256))
_VARIANT = bytes(byte & 0x3F | 0x80 for byte in range(256))


class Constant(Node):
    """One value for all rows."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def fill(self, chunk: Chunk) -> Values:
        return Same(self.value, len(chunk))


# Drawn as a whole


class RandomUuids(Node):
    """Random UUIDs of version 4."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fill(self, chunk: Chunk) -> Uuids:
        data = bytearray(chunk.random(self.name).randbytes(16 * len(chunk)))
        data[6::16] = data[6::16].translate(_VERSION)
        data[8::16] = data[8::16].translate(_VARIANT)
        return Uuids(bytes(data))


class RandomTokens(Node):
    """Random hexadecimal digits."""

    def __init__(self, name: str, token: Token) -> None:
        self.name = name
        self.length = token.length

    def fill(self, chunk: Chunk) -> Values:
        # Whole words of the generator, so that fewer rows get the beginning of what more get.
        digits = math.ceil(self.length / 8) * 8
        data = chunk.random(self.name).randbytes(digits // 2 * len(chunk)).hex()
        return Listed([data[at : at + self.length] for at in range(0, len(data), digits)])


class MomentsAgo(Node):
    """Moments before now."""

    def __init__(self, name: str, ago: Ago) -> None:
        self.name = name
        self.ago = ago

    def fill(self, chunk: Chunk) -> Values:
        latest = _microseconds(now())
        spans = _spans(chunk.random(self.name), self.ago.least, self.ago.most, len(chunk))
        return Moments([latest - span for span in spans])


class MomentsAfter(Node):
    """Moments after those of another column."""

    def __init__(self, name: str, after: After) -> None:
        self.name = name
        self.after = after

    def fill(self, chunk: Chunk) -> Values:
        starts = chunk.column(self.after.start)
        spans = _spans(chunk.random(self.name), self.after.least, self.after.most, len(chunk))
        if isinstance(starts, Moments):
            moments = zip(starts.microseconds, spans, strict=True)
            return Moments([start + span for start, span in moments])
        return Listed(
            [start + MICROSECOND * span for start, span in zip(starts, spans, strict=True)]
        )


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def _spans(random: Random, least: timedelta, most: timedelta | None, size: int) -> list[int]:
    """Random spans in microseconds, in steps of a millisecond."""
    shortest = least // MICROSECOND
    if most is None:
        return [shortest] * size
    steps = (most - least) // MILLISECOND + 1
    draw = random.random
    return [shortest + int(draw() * steps) * 1000 for _ in range(size)]


class RandomIntegers(Node):
    """Random whole numbers."""

    def __init__(self, name: str, integer: fuzzy.FuzzyInteger) -> None:
        self.name = name
        self.numbers = range(integer.low, integer.high + 1, integer.step)

    def fill(self, chunk: Chunk) -> Values:
        numbers, count = self.numbers, len(self.numbers)
        draw = chunk.random(self.name).random
        return Listed([numbers[int(draw() * count)] for _ in range(len(chunk))])


# Drawn from pools


class Choices(Node):
    """Picks among given values."""

    def __init__(self, name: str, choice: fuzzy.FuzzyChoice) -> None:
        self.name = name
        self.choice = choice
        self._pool: Pool | None = None

    def fill(self, chunk: Chunk) -> Values:
        if self._pool is None:
            getter = self.choice.getter or (lambda value: value)
            self._pool = Pool([getter(value) for value in self._choices()], drawn=True)
        count, draw = len(self._pool.entries), chunk.random(self.name).random
        return Picked(self._pool, [int(draw() * count) for _ in range(len(chunk))])

    def _choices(self) -> list[Any]:
        # An iterator gives its values once, and the declaration keeps them.
        if self.choice.choices is None:
            self.choice.choices = list(self.choice.choices_generator)
        values: list[Any] = self.choice.choices
        return values


class Fakes(Node):
    """Values of Faker: one each for the first rows, among which all others pick.

    Faker takes up to 150 microseconds for a value, and picking among them a tenth of one.
    """

    def __init__(self, name: str, faker: Faker, context: Mapping[str, Any]) -> None:
        self.name = name
        self.faker = faker
        self.context = context
        self._pool = Pool([], drawn=True)
        self._random: Random | None = None

    def fill(self, chunk: Chunk) -> Values:
        if len(chunk) and len(self._pool.entries) < POOL:
            self._draw(chunk, min(POOL, max(chunk.rows) + 1))
        draw = chunk.random(self.name).random
        picks = [row if row < POOL else int(draw() * POOL) for row in chunk.rows]
        return Picked(self._pool, picks)

    def _draw(self, chunk: Chunk, size: int) -> None:
        """Go on drawing, from a stream of its own, until there are as many values."""
        if self._random is None:
            self._random = Random(f"{chunk.plan.path}.{self.name}/pool")
        source = Faker._get_faker({**self.faker._defaults, **self.context}.get("locale"))
        before, source.random = source.random, self._random
        try:
            while len(self._pool.entries) < size:
                extra = {**self.faker._defaults, **self.context}
                self._pool.entries.append(self.faker.evaluate(None, None, extra))
        finally:
            source.random = before


class CastUuids(Node):
    """Random UUIDs of Faker, as text or whatever the declaration makes of them."""

    def __init__(self, name: str, cast: Callable[[Any], Any] | None) -> None:
        self._uuids = RandomUuids(name)
        self._cast = cast

    def fill(self, chunk: Chunk) -> Values:
        uuids = self._uuids.fill(chunk)
        return uuids if self._cast is None else uuids.mapped(self._cast)


class Derivation(Node):
    """What a function makes of another column, called once for each different value of it."""

    def __init__(self, derived: Derived) -> None:
        self.derived = derived

    def fill(self, chunk: Chunk) -> Values:
        return chunk.column(self.derived.name).mapped(self.derived.function)


# Row by row


class RowByRow(Node):
    """Evaluates one row after another, with random streams of its own."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fill(self, chunk: Chunk) -> Values:
        values: list[Any] = []
        with drawing_from(chunk.stream(self.name)):
            if not isinstance(chunk, Selection):
                chunk.growing(values)
            for value in self.each(chunk):
                values.append(value)
                chunk.at = len(values)
        chunk.at = 0
        return Listed(values)

    @abstractmethod
    def each(self, chunk: Chunk) -> Iterable[Any]:
        """The values, one by one."""


class Calls(RowByRow):
    """A function of nothing."""

    def __init__(self, name: str, function: Callable[[], Any]) -> None:
        super().__init__(name)
        self.function = function

    def each(self, chunk: Chunk) -> Iterable[Any]:
        return (self.function() for _ in range(len(chunk)))


class RowFunction(RowByRow):
    """A function of the row."""

    def __init__(self, name: str, function: Callable[[Any], Any]) -> None:
        super().__init__(name)
        self.function = function

    def each(self, chunk: Chunk) -> Iterable[Any]:
        return map(self.function, map(chunk.stub, range(len(chunk))))


class Numbered(RowByRow):
    """A function of the row's number in the factory's sequence."""

    def __init__(self, name: str, function: Callable[[int], Any]) -> None:
        super().__init__(name)
        self.function = function

    def each(self, chunk: Chunk) -> Iterable[Any]:
        return map(self.function, chunk.sequences)


class NumberedRowFunction(RowByRow):
    """A function of the row and of its number in the factory's sequence."""

    def __init__(self, name: str, function: Callable[[Any, int], Any]) -> None:
        super().__init__(name)
        self.function = function

    def each(self, chunk: Chunk) -> Iterable[Any]:
        return map(self.function, map(chunk.stub, range(len(chunk))), chunk.sequences)


class Native(RowByRow):
    """Whatever else was declared: factory_boy evaluates it, as for a single row."""

    def __init__(self, name: str, declaration: Any, context: Mapping[str, Any]) -> None:
        super().__init__(name)
        self.declaration = declaration
        self.context = context

    def each(self, chunk: Chunk) -> Iterable[Any]:
        for at in range(len(chunk)):
            yield evaluated(chunk, at, self.declaration, self.context)


# Of other columns


class Attribute(Node):
    """The value of another column, of this row or of one that it is a part of."""

    def __init__(self, declaration: declarations.SelfAttribute) -> None:
        self.depth = declaration.depth
        self.names = declaration.attribute_name.split(".")
        self.default = declaration.default

    def fill(self, chunk: Chunk) -> Values:
        target, positions = _outwards(chunk, self.depth - 1)
        first, *rest = self.names
        if not target.declares(first) and self.default is not declarations._UNSPECIFIED:
            return Same(self.default, len(chunk))
        values = target.column(first)
        if positions is not None:
            values = values.take(positions)
        for name in rest:
            values = values.mapped(self._reader(name))
        return values

    def _reader(self, name: str) -> Callable[[Any], Any]:
        if self.default is declarations._UNSPECIFIED:
            return Part(name)
        return lambda value: getattr(value, name, self.default)


def _outwards(chunk: Chunk, levels: int) -> tuple[Chunk, list[int] | None]:
    """The rows of which those of a chunk are parts, and where each one's is."""
    if levels <= 0:
        return chunk, None
    positions = list(chunk.places)
    while levels > 0:
        if chunk.container is None:
            raise AttributeError(f"{chunk.plan.factory.__name__} makes no part of another row.")
        chunk, levels = chunk.container, levels - 1
        if levels:
            positions = [chunk.places[at] for at in positions]
    return chunk, positions


class Branches(Node):
    """One of two declarations, each evaluated for its own rows alone."""

    def __init__(
        self, decider: Callable[[], Node], yes: Callable[[], Node], no: Callable[[], Node]
    ) -> None:
        # Made when first needed: a declaration may contain itself in a branch that is not taken.
        self._decider = decider
        self._branches = {True: yes, False: no}
        self._made: dict[object, Node] = {}

    def fill(self, chunk: Chunk) -> Values:
        choices = self._node("decider", self._decider).fill(chunk)
        if isinstance(choices, Same):
            return self._branch(bool(choices.value)).fill(chunk)
        rows: dict[bool, list[int]] = {True: [], False: []}
        for at, choice in enumerate(choices):
            rows[bool(choice)].append(at)
        taken = [choice for choice in rows if rows[choice]]
        if len(taken) == 1:
            return self._branch(taken[0]).fill(chunk)
        parts = [
            (rows[choice], self._branch(choice).fill(Selection(chunk, rows[choice])))
            for choice in taken
        ]
        return Merged(len(chunk), list(parts))

    def _branch(self, choice: bool) -> Node:
        return self._node(choice, self._branches[choice])

    def _node(self, key: object, make: Callable[[], Node]) -> Node:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]
