"""Rows, or other values, that a call gives and many rows share: `from_rows`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, overload

import sqlalchemy as sa
from sqlalchemy.orm import Session

from ....errors import BulkError
from ..chunks.chunk import Chunk
from ..chunks.compiled import ColumnNode
from ..chunks.keys import Keys, key_attributes
from ..chunks.steps import PerRow
from ..chunks.values import AttributeReader, Picked, Pool, Values, picks
from ..chunks.views import UnloadedRow

Spread = Literal["evenly", "at random"]


class FromRows(PerRow):
    """The values that the rows of a call share; see `from_rows`."""

    def __init__(self, source: Any, spread: Spread) -> None:
        self.source = source
        self.spread = spread


def from_rows(source: Any, spread: Spread = "evenly") -> Any:
    """Let many rows share some values: ``create_bulk(10_000, agent=from_rows(agents))``.

    :param source: a list of rows, or of any values; the keys that ``create_bulk`` returned; or a
        ``select`` of a model or of one column, which is run in the session of the call.
    :param spread: ``"evenly"``: each value is used in turn, equally often; or ``"at random"``.
    :raises BulkError: ``spread`` is neither. The call raises it if the source is empty.
    """
    if spread not in ("evenly", "at random"):
        raise BulkError(f"The spread {spread!r} is unknown: say 'evenly' or 'at random'.")
    return FromRows(source, spread)


def entries_of(name: str, source: Any, session: Session) -> Sequence[Any]:
    """Return the entries of a source: objects, or rows that are loaded when they are read.

    :raises BulkError: there are none.
    """
    entries: Sequence[Any]
    if isinstance(source, Keys):
        entries = KeyedRows(source, session)
    elif isinstance(source, sa.Select):
        entries = session.scalars(source).all()
    else:
        entries = list(source)
    if not entries:
        raise BulkError(f"There are no rows for {name!r} to share: from_rows() was given none.")
    return entries


class Shared(ColumnNode):
    """One of the entries of a source for each row."""

    def __init__(self, name: str, given: FromRows, session: Session) -> None:
        self.name = name
        self.given = given
        entries = entries_of(name, given.source, session)
        self.pool: Pool = (
            KeyedPool(entries) if isinstance(entries, KeyedRows) else Pool(list(entries))
        )

    def fill(self, chunk: Chunk) -> Values:
        count = len(self.pool.entries)
        if self.given.spread == "evenly":
            return Picked(self.pool, [row % count for row in chunk.rows])
        return Picked(self.pool, picks(chunk.random(self.name), count, len(chunk)))


class KeyedRows(Sequence[Any]):
    """Rows whose keys are known. A column is read when it is asked for, for all rows at once."""

    def __init__(self, keys: Keys, session: Session) -> None:
        self.keys = keys
        self.session = session
        self.mapper: Any = sa.inspect(keys.model)
        self._columns: dict[str, list[Any]] = {}

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, at: int) -> Any: ...
    @overload
    def __getitem__(self, at: slice) -> list[Any]: ...
    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return [KeyedRow(self, one) for one in range(*at.indices(len(self)))]
        return KeyedRow(self, at)

    def column(self, name: str) -> Sequence[Any]:
        """Return an attribute of each row."""
        if name not in self._columns:
            self._columns[name] = list(self._read(name))
        return self._columns[name]

    def _read(self, name: str) -> Iterable[Any]:
        names = key_attributes(self.mapper)
        if name in names:
            at = names.index(name)
            return self.keys if len(names) == 1 else (key[at] for key in self.keys)
        if name not in self.mapper.column_attrs:
            return (getattr(self.row(at), name) for at in range(len(self)))
        return self._query(name, names)

    def _query(self, name: str, names: list[str]) -> Iterator[Any]:
        model: Any = self.keys.model
        key: Any = sa.tuple_(*(getattr(model, one) for one in names))
        for start in range(0, len(self), 1000):
            block = self.keys[start : start + 1000]
            if len(names) == 1:
                key = getattr(model, names[0])
            query = sa.select(*(getattr(model, one) for one in names), getattr(model, name))
            found: dict[Any, Any] = {
                row[0] if len(names) == 1 else tuple(row[:-1]): row[-1]
                for row in self.session.execute(query.where(key.in_(block)))
            }
            yield from (found[one] for one in block)

    def row(self, at: int) -> Any:
        """Return a row as an instance of its model."""
        found = self.session.get(self.keys.model, self.keys[at])
        if found is None:
            raise BulkError(
                f"There is no {self.keys.model.__name__} with the key {self.keys[at]} any more."
            )
        return found


class KeyedRow(UnloadedRow):
    """A row of `KeyedRows`."""

    __slots__ = ("_at", "_rows")

    def __init__(self, rows: KeyedRows, at: int) -> None:
        self._rows = rows
        self._at = at

    def __loaded__(self) -> Any:
        return self._rows.row(self._at)

    def __getattr__(self, name: str) -> Any:
        if name in self._rows.mapper.column_attrs:
            return self._rows.column(name)[self._at]
        return getattr(self._rows.row(self._at), name)


class KeyedPool(Pool):
    """A pool of `KeyedRows`."""

    def __init__(self, rows: KeyedRows) -> None:
        super().__init__(rows)  # type: ignore[arg-type]  # a sequence will do: it does not grow
        self._rows = rows

    def mapped(self, function: Any) -> Pool:
        if not isinstance(function, AttributeReader):
            return super().mapped(function)
        if function not in self._mapped:
            self._mapped[function] = Pool(list(self._rows.column(function.name)))
        return self._mapped[function]
