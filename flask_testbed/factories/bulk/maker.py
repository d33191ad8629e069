"""Making rows in bulk: chunk after chunk, in the transaction of a session."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import sqlalchemy as sa
from factory.builder import parse_declarations
from sqlalchemy.orm import Session

from ...errors import BulkError
from ...randomness import generator
from .children import Nursery, children_of
from .chunks.chunk import Chunk, MadeRows, Plan
from .chunks.values import Values
from .compile import DeclarationCompiler
from .copy.batches import write
from .copy.storage import Storage, StoredChunk
from .copy.table import Target
from .copy.wire import Wire
from .needs_objects import needs_objects


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
        pre, post = declarations_of(factory, given)
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
        pre, _ = declarations_of(factory, given)
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


def declarations_of(factory: Any, given: Mapping[str, Any]) -> Any:
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
