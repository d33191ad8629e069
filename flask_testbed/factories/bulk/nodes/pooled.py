"""Declarations whose values are picked from a pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from factory import Faker, fuzzy

from ...._compat import defaults_of, faker_of
from ...declarations import Derived
from ..chunks.chunk import Chunk
from ..chunks.compiled import ColumnNode
from ..chunks.values import POOL, Picked, Pool, Values, picks
from .drawn import RandomUuids


class Choices(ColumnNode):
    """Random picks among the values of a ``FuzzyChoice``."""

    def __init__(self, name: str, choice: fuzzy.FuzzyChoice) -> None:
        self.name = name
        self.choice = choice
        self._pool: Pool | None = None

    def fill(self, chunk: Chunk) -> Values:
        if self._pool is None:
            getter = self.choice.getter or (lambda value: value)
            self._pool = Pool([getter(value) for value in self._choices()], drawn=True)
        drawn = picks(chunk.random(self.name), len(self._pool.entries), len(chunk))
        return Picked(self._pool, drawn)

    def _choices(self) -> list[Any]:
        # An iterator can be read only once, so the declaration keeps the values, as factory_boy's
        # own method does.
        if self.choice.choices is None:
            self.choice.choices = list(self.choice.choices_generator)
        values: list[Any] = self.choice.choices
        return values


class Fakes(ColumnNode):
    """Values of Faker: a new one for each of the first rows, and picks among those for the rest.

    Faker takes up to 150 microseconds for a value; a pick takes a tenth of one.
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
        """Let the pool grow to ``size`` values, which are drawn from a stream of its own."""
        if self._random is None:
            self._random = Random(f"{chunk.compiled.path}.{self.name}/pool")
        parameters = {**defaults_of(self.faker), **self.context}
        source = faker_of(parameters.get("locale"))
        before, source.random = source.random, self._random
        try:
            while len(self._pool.entries) < size:
                # `evaluate` changes the dictionary that it is given.
                self._pool.entries.append(self.faker.evaluate(None, None, dict(parameters)))
        finally:
            source.random = before


class CastUuids(ColumnNode):
    """Random UUIDs in place of Faker's, converted as the declaration says."""

    def __init__(self, name: str, cast: Callable[[Any], Any] | None) -> None:
        self._uuids = RandomUuids(name)
        self._cast = cast

    def fill(self, chunk: Chunk) -> Values:
        uuids = self._uuids.fill(chunk)
        return uuids if self._cast is None else uuids.mapped(self._cast)


class Derivation(ColumnNode):
    """A function of another column, called once for each different value of it."""

    def __init__(self, derived: Derived) -> None:
        self.derived = derived

    def fill(self, chunk: Chunk) -> Values:
        return chunk.column(self.derived.name).mapped(self.derived.function)
