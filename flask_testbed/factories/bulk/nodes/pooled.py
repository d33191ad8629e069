"""Declarations whose values are drawn from a pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from factory import Faker, fuzzy

from ...declarations import Derived
from ..chunks.chunk import Chunk, Node
from ..chunks.values import (
    POOL,
    Picked,
    Pool,
    Values,
)
from .drawn import RandomUuids


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
