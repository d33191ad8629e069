"""The source of generated values: one random stream for the process, and the present moment.

The stream is not ``factory.random.randgen``. Other plugins (pytest-randomly) reset that generator
before each phase of each test, after which it would give the same keys again.

Importing this module imports neither factory_boy nor Faker.
"""

from __future__ import annotations

import contextlib
import random
import uuid
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = ["drawing_from", "frozen", "generator", "now", "random_uuid", "reseed", "spread"]


class Stream:
    """The random stream of this process. There is one; Faker and factory_boy have one each, too."""

    def __init__(self) -> None:
        self._random = random.Random()
        self._pending: int | str | None = None
        #: Number of times the stream was reseeded. Sequences and iterators start over with each.
        self.epoch = 0
        #: The iterators (by ``id``) that were reset in this epoch.
        self._restarted: set[int] = set()
        #: The first free number of each sequence after the reserved ones, by owner and by counter.
        self._reserved: dict[object, dict[object, int]] = {}
        #: The owners whose numbers are being reserved, innermost last.
        self._reserving: list[object] = []

    def reseed(self, seed: int | str) -> None:
        """Start over from ``seed`` at the next use."""
        self._pending = seed
        self.epoch += 1
        self._restarted.clear()

    def fresh(self) -> random.Random:
        """Return the generator, after it was seeded as the last `reseed` asked for."""
        if self._pending is not None:
            seed, self._pending = self._pending, None
            self._random.seed(f"{seed}/testbed")
            _reseed_libraries(seed)
        return self._random

    def restart(self, iterator: Any) -> None:
        """Reset a ``factory.Iterator``, once in each epoch: several factories may share it."""
        if id(iterator) not in self._restarted:
            self._restarted.add(id(iterator))
            iterator.reset()

    def exchange(self, other: random.Random) -> random.Random:
        """Replace the generator by another, and return the former one."""
        before, self._random = self.fresh(), other
        return before

    @contextlib.contextmanager
    def reserving(self, owner: object) -> Iterator[None]:
        """Reserve the numbers that sequences give inside the ``with`` block, until `release`.

        They are in rows that outlive a test. A sequence that starts over begins after them.
        """
        self._reserving.append(owner)
        try:
            yield
        finally:
            self._reserving.remove(owner)

    def note(self, counter: object, number: int) -> None:
        """Take note of a number that a sequence gives."""
        if self._reserving:
            self._reserved.setdefault(self._reserving[-1], {})[counter] = number + 1

    def first(self, counter: object) -> int | None:
        """Return the number from which a sequence starts over, or None: from its own start."""
        if not self._reserved:
            return None
        return max(numbers.get(counter, 0) for numbers in self._reserved.values())

    def release(self, owner: object) -> None:
        """Release the numbers that were reserved for ``owner``."""
        self._reserved.pop(owner, None)


def _reseed_libraries(seed: int | str) -> None:
    """Seed factory_boy and Faker differently.

    ``factory.random.reseed_random`` gives both the same stream, and their columns correlate.
    """
    import faker.generator
    from factory.random import randgen

    randgen.seed(f"{seed}/factory_boy")
    randgen.state_set = True
    faker.generator.random.seed(f"{seed}/Faker")


stream = Stream()
_frozen_at: ContextVar[datetime | None] = ContextVar("flask_testbed_frozen_at", default=None)


def reseed(seed: int | str) -> None:
    """Make everything that factories generate from here on a function of ``seed``.

    At the next use of a factory, the random values (the engine's, factory_boy's and Faker's), every
    sequence and every ``factory.Iterator`` start over. A call takes less than a microsecond, so
    that it can precede each test, also those that use no factory.
    """
    stream.reseed(seed)


def generator() -> random.Random:
    """Return the random generator of the engine's declarations, which `reseed` seeds."""
    return stream.fresh()


@contextlib.contextmanager
def drawing_from(name: str) -> Iterator[None]:
    """Draw random values inside the ``with`` block from streams that depend on ``name`` alone.

    This concerns the engine's generator, factory_boy's and Faker's. Afterwards they continue from
    their former states: values that are drawn later do not depend on the block.
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
    """Return a random (version 4) UUID, the same under the same seed."""
    return uuid.UUID(int=generator().getrandbits(128), version=4)


def spread(least: timedelta, most: timedelta | None = None) -> timedelta:
    """Return a random span between two, in whole milliseconds; ``least`` if ``most`` is None."""
    if most is None:
        return least
    millisecond = timedelta(milliseconds=1)
    return least + millisecond * generator().randint(0, (most - least) // millisecond)


def now() -> datetime:
    """Return the present moment in UTC, or the moment that `frozen` sets."""
    return _frozen_at.get() or datetime.now(UTC)


@contextlib.contextmanager
def frozen(moment: datetime) -> Iterator[None]:
    """Let `now` return ``moment`` inside the ``with`` block.

    :raises ValueError: ``moment`` has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"The moment {moment!r} has no time zone; give it one, such as UTC.")
    token = _frozen_at.set(moment)
    try:
        yield
    finally:
        _frozen_at.reset(token)
