"""Where generated values come from: one random stream for the process, and one idea of now.

The stream is not ``factory.random.randgen``. Other plugins (pytest-randomly) set that one back to
one state before each phase of each test, after which it would give the same keys again.

Importing this module imports neither factory_boy nor Faker.
"""

from __future__ import annotations

import contextlib
import random
import uuid
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta

__all__ = ["drawing_from", "frozen", "generator", "now", "random_uuid", "reseed", "spread"]


class Stream:
    """The random stream of this process; there is one, as Faker and factory_boy have one each."""

    def __init__(self) -> None:
        self._random = random.Random()
        self._pending: int | str | None = None
        #: How often the stream was reseeded. What counts or iterates starts over when it moves.
        self.epoch = 0
        #: The iterators (by ``id``) that were already sent back to their start in this epoch.
        self.restarted: set[int] = set()
        #: The first numbers that sequences may give, by whom they were reserved for and by counter.
        self.reserved: dict[object, dict[object, int]] = {}
        self._reserving: list[object] = []

    def reseed(self, seed: int | str) -> None:
        """Begin again from ``seed`` at the next use; until then, this costs nothing."""
        self._pending = seed
        self.epoch += 1
        self.restarted.clear()

    def fresh(self) -> random.Random:
        """The generator, in the state that the last `reseed` asked for."""
        if self._pending is not None:
            seed, self._pending = self._pending, None
            self._random.seed(f"{seed}/testbed")
            _reseed_libraries(seed)
        return self._random

    def exchange(self, other: random.Random) -> random.Random:
        """Draw from ``other`` from now on; gives what was drawn from before."""
        before, self._random = self.fresh(), other
        return before

    @contextlib.contextmanager
    def reserving(self, owner: object) -> Iterator[None]:
        """Inside, the numbers that sequences give are ``owner``'s, and nobody else gets them.

        It is in rows that outlive the test.
        """
        self._reserving.append(owner)
        try:
            yield
        finally:
            self._reserving.remove(owner)

    def note(self, counter: object, number: int) -> None:
        """Hear of a number that a sequence gives."""
        if self._reserving:
            self.reserved.setdefault(self._reserving[-1], {})[counter] = number + 1

    def first(self, counter: object) -> int | None:
        """The number from which a sequence starts over; ``None``: from its own beginning."""
        if not self.reserved:
            return None
        return max((numbers.get(counter, 0) for numbers in self.reserved.values()), default=None)


def _reseed_libraries(seed: int | str) -> None:
    """Give factory_boy and Faker a stream each; their own function gives both the same one.

    Two equal streams make columns that rise and fall together.
    """
    import faker.generator
    from factory.random import randgen

    randgen.seed(f"{seed}/factory_boy")
    randgen.state_set = True
    faker.generator.random.seed(f"{seed}/Faker")


stream = Stream()
_frozen_at: ContextVar[datetime | None] = ContextVar("flask_testbed_frozen_at", default=None)


def reseed(seed: int | str) -> None:
    """Make all that factories generate from here on a function of ``seed``.

    Takes effect at the next use of a factory: the random values (the engine's, factory_boy's and
    Faker's), every sequence and every ``factory.Iterator`` begin anew. Safe to call before each
    test, also before those that never use a factory: it takes less than a microsecond.
    """
    stream.reseed(seed)


def generator() -> random.Random:
    """The random generator behind the engine's declarations, seeded by `reseed`."""
    return stream.fresh()


@contextlib.contextmanager
def drawing_from(name: str) -> Iterator[None]:
    """Inside, everything random comes from streams that are a function of ``name`` alone.

    That is the engine's generator, factory_boy's and Faker's. They go on from where they stood
    afterwards, so that what is drawn inside changes nothing of what is drawn later.
    """
    import faker.generator
    from factory.random import randgen

    before = stream.exchange(random.Random(f"{name}/testbed"))
    states = randgen.getstate(), faker.generator.random.getstate()
    _reseed_libraries(name)
    try:
        yield
    finally:
        stream.exchange(before)
        randgen.setstate(states[0])
        faker.generator.random.setstate(states[1])


def random_uuid() -> uuid.UUID:
    """A random (version 4) UUID, the same under the same seed."""
    return uuid.UUID(int=generator().getrandbits(128), version=4)


def spread(least: timedelta, most: timedelta | None = None) -> timedelta:
    """A random span between two others, to the millisecond; ``least`` if ``most`` is None."""
    if most is None:
        return least
    millisecond = timedelta(milliseconds=1)
    return least + millisecond * generator().randint(0, (most - least) // millisecond)


def now() -> datetime:
    """The present moment, in UTC: the real one, or the one that `frozen` sets."""
    return _frozen_at.get() or datetime.now(UTC)


@contextlib.contextmanager
def frozen(moment: datetime) -> Iterator[None]:
    """Inside, `now` is ``moment``, so that what is generated does not depend on the day.

    Raises `ValueError` if ``moment`` has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"The moment {moment!r} has no time zone; give it one, such as UTC.")
    token = _frozen_at.set(moment)
    try:
        yield
    finally:
        _frozen_at.reset(token)
