"""The argument of a scenario."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any, Protocol, TypeVar, overload

from sqlalchemy import Select
from sqlalchemy.orm import Session, class_mapper

from ..factories.base import BaseFactory
from ..factories.bulk.chunks.keys import Keys
from ..factories.bulk.drafts import WORTH_WRITING, Drafts

T = TypeVar("T")


class Progress(Protocol):
    """Shows the progress of a scenario while its result is iterated: a ``click.progressbar``."""

    def __call__(
        self, items: Sequence[Any], label: str, /
    ) -> AbstractContextManager[Iterable[Any]]: ...


@dataclass(frozen=True)
class Seed:
    """The argument of a scenario.

    A scenario can also call factories directly; rows that it makes by these methods are timed.
    """

    session: Session
    """The session that factories write to. The scenario may flush it, but not commit it."""

    random: Random
    """The random generator of the scenario. Others are not seeded, except those of factories."""

    as_of: datetime
    """The moment that the data describes, midnight UTC. It is the present moment for factories."""

    scale: int
    """A factor of the usual amount of data, 1 or more."""

    _progress: Progress | None = None
    _drafts: Drafts = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_drafts", Drafts(self.session, BaseFactory))

    @property
    def seconds(self) -> defaultdict[str, float]:
        """The time that the methods of the seed have taken, by table."""
        return self._drafts.seconds

    def create(self, factory: type[BaseFactory[T]], **values: Any) -> T:
        """Create a row, and return its instance."""
        with self._timing(factory):
            return factory.create(**values)

    def bulk(self, factory: type[BaseFactory[Any]], size: int, **values: Any) -> Keys:
        """Create ``size`` rows by ``factory.create_bulk``, and return their keys."""
        with self._timing(factory):
            return factory.create_bulk(size, **values)

    def draft(self, factory: type[BaseFactory[Any]], **values: Any) -> Any:
        """Return a draft of a row, which is written later, in bulk with other drafts.

        A draft has the attributes that it was given. Others can be set until it is written, and it
        can be the parent of other drafts. It is written by `flush`, at the end of the scenario, or
        between two items of `progress` once there are many drafts. Afterwards, its generated
        values can be read, and nothing can be set.
        """
        return self._drafts.add(factory, values)

    def flush(self) -> None:
        """Write all drafts."""
        self._drafts.write()

    @overload
    def pick(self, rows: Any) -> Any: ...
    @overload
    def pick(self, rows: Any, size: int) -> list[Any]: ...
    def pick(self, rows: Any, size: int | None = None) -> Any:
        """Return a random row of several, or a list of ``size`` different ones.

        :param rows: a list, keys, or a ``select``, which should have an ``ORDER BY``.
        """
        found = self.session.scalars(rows).all() if isinstance(rows, Select) else rows
        return self.random.choice(found) if size is None else self.random.sample(found, size)

    def progress(self, items: Sequence[T], label: str) -> Iterator[T]:
        """Yield the items one by one, with a progress bar if there is a terminal."""
        if self._progress is None:
            yield from self._flushing(items)
            return
        with self._progress(items, label) as shown:
            yield from self._flushing(shown)

    def _flushing(self, items: Iterable[T]) -> Iterator[T]:
        for item in items:
            yield item
            if len(self._drafts) >= WORTH_WRITING:
                self.flush()

    @contextlib.contextmanager
    def _timing(self, factory: type[BaseFactory[Any]]) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            table: Any = class_mapper(factory._meta.model).local_table
            self.seconds[table.name] += time.perf_counter() - begun
