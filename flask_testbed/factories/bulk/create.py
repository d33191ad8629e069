"""The entry: ``create_bulk`` of a factory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from random import Random
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstanceState, Session

from ...errors import BulkError
from ...randomness import frozen, generator, now
from .chunks.chunk import CHUNK
from .chunks.keys import Keys
from .maker import Maker, declarations_of
from .nodes.shared import FromRows, KeyedRows, entries_of

#: Number of rows that are made one by one between two flushes; they are not kept longer.
EXACT = 500


def create(
    factory: Any,
    size: int,
    given: Mapping[str, Any],
    *,
    session: Session,
    base: Any,
    exact: bool = False,
) -> Keys:
    """Make rows in a savepoint of a session's transaction; see ``BaseFactory.create_bulk``.

    :param base: the class of factories whose methods bulk creation replaces.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise BulkError(f"{size!r} is not a number of rows: give a whole number, 0 or more.")
    declarations_of(factory, given)
    _save_given(session, given.values())
    keys = Keys(factory._meta.model)
    # All rows are made at the same moment.
    with session.begin_nested(), frozen(now()), Maker(session, base) as maker:
        if exact or maker.is_native(factory, given):
            for key in _one_by_one(factory, size, given, session):
                keys.extend([key])
            return keys
        compiled = maker.compile(factory, f"{maker.seed}/{factory.__name__}", given)
        for number, start in enumerate(range(0, size, CHUNK)):
            rows = range(start, min(start + CHUNK, size))
            keys.extend(maker.make(compiled, rows, str(number)).keys())
    return keys


def _save_given(session: Session, values: Iterable[Any]) -> None:
    """Flush the rows that the call gives: new rows refer to them by their keys."""
    for value in values:
        rows = value.source if isinstance(value, FromRows) else [value]
        for row in rows if isinstance(rows, list | tuple) else ():
            state = sa.inspect(row, raiseerr=False)
            if isinstance(state, InstanceState) and state.transient:
                session.add(row)
    session.flush()


def _one_by_one(
    factory: Any, size: int, given: Mapping[str, Any], session: Session
) -> Iterator[Any]:
    """Make rows as ``create`` does, without keeping them, and yield their keys."""
    shared = {
        name: _picks(name, value, session)
        for name, value in given.items()
        if isinstance(value, FromRows)
    }
    for start in range(0, size, EXACT):
        rows = []
        for row in range(start, min(start + EXACT, size)):
            picked = {name: pick(row) for name, pick in shared.items()}
            rows.append(factory.create(**{**given, **picked}))
        session.flush()
        for made in rows:
            identity = sa.inspect(made).identity
            yield identity[0] if len(identity) == 1 else tuple(identity)


def _picks(name: str, given: FromRows, session: Session) -> Callable[[int], Any]:
    """Return a function that gives the shared value for the number of a row."""
    entries = entries_of(name, given.source, session)
    random = Random(generator().getrandbits(64))

    def pick(row: int) -> Any:
        count = len(entries)
        at = row % count if given.spread == "evenly" else int(random.random() * count)
        return entries.row(at) if isinstance(entries, KeyedRows) else entries[at]

    return pick
