"""Making rows in bulk: chunk after chunk, in the transaction of a session."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from random import Random
from typing import Any

import sqlalchemy as sa
from factory.builder import parse_declarations
from sqlalchemy.orm import InstanceState, Session

from ..errors import BulkError
from ..randomness import frozen, generator, now
from .chunk import CHUNK, Chunk, MadeRows, Plan
from .compile import DeclarationCompiler
from .exactness import needs_objects
from .keys import Keys
from .relations import Nursery, children_of
from .sources import FromRows, KeyedRows, entries_of, refuse_nothing
from .storage import Storage, StoredChunk
from .table import Target
from .values import Values
from .wire import Wire
from .writing import write

#: How many rows are made one by one before what is known of them is let go.
EXACT = 500


class Run:
    """Makes rows for one call; knows the tables, and what was compiled for them."""

    def __init__(self, session: Session, known: Any) -> None:
        """:param known: the class of factories whose own methods bulk creation replaces."""
        self.session = session
        self.known = known
        # One number of the test's own stream, however many rows are made: what is drawn after the
        # call does not depend on that either.
        self.seed = f"bulk/{generator().getrandbits(64)}"
        self._compiler = DeclarationCompiler(self, session, self.is_native)
        self._targets: dict[sa.Table, Target] = {}
        self._wires: dict[sa.Connection, Wire] = {}
        self._open = ExitStack()
        self._storages: dict[Plan, Storage] = {}
        self._nurseries: dict[Plan, list[Nursery]] = {}

    # Plans

    def plan(self, factory: Any, path: str, given: Mapping[str, Any]) -> Plan:
        """How rows of a factory are made.

        :raises BulkError: it has a hook, which needs each row as an object.
        """
        meta = factory._meta
        pre, post = _declarations(factory, given)
        hidden = frozenset({*meta.exclude, *meta.parameters})
        plan = Plan(factory, path, pre, given, self._compiler, hidden)
        if not issubclass(factory, self.known):
            return plan
        meta.start_over()
        visible = [name for name in pre if name not in hidden]
        names = {name: name for name in visible if name not in meta.rename}
        names |= {meta.rename[name]: name for name in visible if name in meta.rename}
        storage = Storage(sa.inspect(meta.model), self._target(meta.model), names)
        plan.stores = frozenset(storage.sources)
        for relation, reverse in _collections(storage.mapper):
            if relation.key in names:
                plan.reverse[names[relation.key]] = reverse.key
                plan.models += (relation.mapper.class_,)
        self._storages[plan] = storage
        found = children_of(self, plan, post)
        self._nurseries[plan] = [Nursery(self, children) for children in found]
        return plan

    def _target(self, model: type) -> Target:
        mapper: Any = sa.inspect(model)
        table = mapper.local_table
        if table not in self._targets:
            connection = self.session.connection(bind_arguments={"mapper": mapper})
            self._targets[table] = Target(self._wire(connection), table)
        return self._targets[table]

    def _wire(self, connection: sa.Connection) -> Wire:
        if connection not in self._wires:
            self._wires[connection] = self._open.enter_context(Wire(connection))
        return self._wires[connection]

    def finish(self) -> None:
        """Wait until the server has accepted all rows."""
        for wire in self._wires.values():
            wire.finish()

    @contextmanager
    def abandoned_on_error(self) -> Iterator[None]:
        """After an error inside, abandon what is under way, so that it can be rolled back."""
        try:
            yield
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: Any) -> None:
        """Finish or, after an error, abandon what is under way."""
        self._open.__exit__(*error)

    def is_native(self, factory: Any, given: Mapping[str, Any]) -> bool:
        """Whether the rows of a factory, with what is given, can only be made one by one."""
        if not issubclass(factory, self.known):
            return True
        pre, _ = _declarations(factory, given)
        return needs_objects(factory, self.known, pre) is not None

    # Rows

    def make(
        self,
        plan: Plan,
        rows: Sequence[int],
        index: str,
        container: Chunk | None = None,
        places: Sequence[int] | None = None,
        supplied: Mapping[str, Values] | None = None,
    ) -> StoredChunk:
        """Make rows of a table, and their children: evaluated and written."""
        chunk = self.begin(plan, rows, index, container, places, supplied)
        write([chunk])
        self.make_children(chunk)
        return chunk

    def begin(
        self,
        plan: Plan,
        rows: Sequence[int],
        index: str,
        container: Chunk | None = None,
        places: Sequence[int] | None = None,
        supplied: Mapping[str, Values] | None = None,
    ) -> StoredChunk:
        """Rows of a table that are not written yet."""
        sequences = _numbers(plan.factory._meta, len(rows))
        chunk = StoredChunk(plan, rows, index, sequences, container, places, supplied)
        chunk.storage = self._storages[plan]
        for name, parents in (supplied or {}).items():
            _adopt(chunk, name, parents)
        return chunk

    def make_children(self, chunk: Chunk) -> None:
        """Make what comes after the rows of a chunk."""
        for nursery in self._nurseries[chunk.plan]:
            nursery.make_for(chunk)


def _declarations(factory: Any, given: Mapping[str, Any]) -> Any:
    """What is declared before and after a row is made, with what the call gives."""
    meta = factory._meta
    if meta.abstract:
        raise BulkError(f"{factory.__name__} is abstract: call a factory that has a model.")
    return parse_declarations(
        dict(given), base_pre=meta.pre_declarations, base_post=meta.post_declarations
    )


def _collections(mapper: Any) -> Iterator[tuple[Any, Any]]:
    """The references of a model to parents who know their children."""
    for relation in mapper.relationships:
        for reverse in relation._reverse_property:
            if reverse.uselist and not relation.uselist:
                yield relation, reverse


def _numbers(meta: Any, size: int) -> range:
    """The next numbers of a factory's sequence."""
    meta._initialize_counter()
    first: int = meta._counter.seq
    meta._counter.seq += size
    return range(first, first + size)


def _adopt(chunk: StoredChunk, name: str, parents: Values) -> None:
    """Let new rows be seen in the collections of their parents while they are evaluated."""
    name = chunk.plan.factory._meta.rename.get(name, name)
    relation = chunk.storage.mapper.relationships.get(name)
    if relation is None or not isinstance(parents, MadeRows):
        return
    for reverse in relation._reverse_property:
        parents.chunk.adopt(reverse.key, chunk, parents.positions)


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
    _declarations(factory, given)
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
