"""What a scenario gets as its argument."""

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

from sqlalchemy import Select, Table, func, select
from sqlalchemy.orm import Session, class_mapper

from ..factories.base import BaseFactory
from ..factories.bulk.chunks.keys import Keys
from ..factories.bulk.drafts import WORTH_WRITING, Drafts

T = TypeVar("T")


class Progress(Protocol):
    """Shows how far a scenario is, while what it returns is iterated: a ``click.progressbar``."""

    def __call__(
        self, items: Sequence[Any], label: str, /
    ) -> AbstractContextManager[Iterable[Any]]: ...


@dataclass(frozen=True)
class Seed:
    """What a scenario works with.

    Factories can be called as ever. What it makes through its own methods is timed, too.
    """

    session: Session
    """``db.session`` of this play. Flush it if need be; the transaction is not the scenario's."""

    random: Random
    """The only source of chance that a scenario may use besides the factories."""

    as_of: datetime
    """The moment that the data describes, midnight UTC. To the factories, it is now."""

    scale: int
    """How many times the usual amount to make, 1 or more."""

    _shown: Progress | None = None
    _drafts: Drafts = field(init=False)
    _seconds: defaultdict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        drafts = Drafts(self.session, BaseFactory)
        object.__setattr__(self, "_drafts", drafts)
        object.__setattr__(self, "_seconds", drafts.seconds)

    def create(self, factory: type[BaseFactory[T]], **values: Any) -> T:
        """A row, made now, as an object."""
        with self._timing(factory):
            return factory.create(**values)

    def bulk(self, factory: type[BaseFactory[Any]], size: int, **values: Any) -> Keys:
        """Many rows that are made alike, as by ``factory.create_bulk``; gives their keys."""
        with self._timing(factory):
            return factory.create_bulk(size, **values)

    def draft(self, factory: type[BaseFactory[Any]], **values: Any) -> Any:
        """A row that is described now, and written in bulk with others that are.

        It is for stories, in which each row has values of its own. A draft has the attributes it
        was given, can be given others, and can be a parent of other drafts. It is written by
        `flush`, at the end of the scenario, or between two items of `progress` once there are
        many; then it is fixed, and what was generated can be read.
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
        """One of some rows at random; or as many different ones as ``size`` says.

        :param rows: a list, keys, or a ``select``, whose order should be a certain one.
        """
        found = self.session.scalars(rows).all() if isinstance(rows, Select) else rows
        return self.random.choice(found) if size is None else self.random.sample(found, size)

    def progress(self, items: Sequence[T], label: str) -> Iterator[T]:
        """The items one by one, with a progress bar where there is a terminal."""
        if self._shown is None:
            yield from self._flushing(items)
            return
        with self._shown(items, label) as shown:
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
            self._seconds[table.name] += time.perf_counter() - begun


def count(session: Session, table: Table) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0
