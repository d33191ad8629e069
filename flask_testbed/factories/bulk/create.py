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
from .maker import Run, declarations_of
from .nodes.shared import FromRows, KeyedRows, entries_of, refuse_nothing

#: How many rows are made one by one before what is known of them is let go.
EXACT = 500


def create(
    factory: Any,
    size: int,
    given: Mapping[str, Any],
    *,
    session: Session,
    known: Any,
    exact: bool = False,
) -> Keys:
    """Make rows in a savepoint of a session's transaction; see ``BaseFactory.create_bulk``."""
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise BulkError(f"{size!r} is not a number of rows: give a whole number, 0 or more.")
    declarations_of(factory, given)
    _save_given(session, given.values())
    keys = Keys(factory._meta.model)
    # To all rows, now is the same moment.
    with session.begin_nested(), frozen(now()), Run(session, known) as run:
        if exact or run.is_native(factory, given):
            for key in _one_by_one(factory, size, given, session):
                keys.extend([key])
            return keys
        plan = run.plan(factory, f"{run.seed}/{factory.__name__}", given)
        for number, start in enumerate(range(0, size, CHUNK)):
            rows = range(start, min(start + CHUNK, size))
            keys.extend(run.make(plan, rows, str(number)).keys())
    return keys


def _save_given(session: Session, values: Iterable[Any]) -> None:
    """Write what is pending: rows that the call gives are referred to by their keys."""
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
    """Make rows as ``create`` does, which the session forgets; gives their keys."""
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
    """For the number of a row, one of the rows to share."""
    entries = entries_of(given.source, session)
    refuse_nothing(name, entries)
    random = Random(generator().getrandbits(64))

    def pick(row: int) -> Any:
        count = len(entries)
        at = row % count if given.spread == "evenly" else int(random.random() * count)
        return entries.row(at) if isinstance(entries, KeyedRows) else entries[at]

    return pick
