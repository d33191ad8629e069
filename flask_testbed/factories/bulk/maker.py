"""Makes rows in bulk: chunk after chunk, in the transaction of a session."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import sqlalchemy as sa
from factory.builder import parse_declarations
from sqlalchemy.orm import Mapper, Session

from ..._compat import reverse_relationships, take_sequence_numbers
from ...errors import BulkError
from ...randomness import generator
from .children import Children, children_of
from .chunks.chunk import Chunk
from .chunks.compiled import CompiledFactory, ParentCollection
from .chunks.parent_rows import ParentRows
from .chunks.values import Values
from .compile import DeclarationCompiler
from .copy.batches import write
from .copy.connection import CopyConnection
from .copy.storage import Storage, StoredChunk
from .copy.table import ServerTable
from .needs_objects import needs_objects


class Maker:
    """Makes rows for one call, and keeps what was compiled and read from the server for them."""

    def __init__(self, session: Session, base: Any) -> None:
        """:param base: the class of factories whose methods bulk creation replaces."""
        self.session = session
        self.base = base
        # One number of the test's stream, however many rows are made: values that are drawn after
        # the call do not depend on the number of rows.
        self.seed = f"bulk/{generator().getrandbits(64)}"
        self.compiler = DeclarationCompiler(self, session, self.is_native)
        self._connections: dict[sa.Connection, CopyConnection] = {}
        self._open = ExitStack()
        self._tables: dict[sa.Table, ServerTable] = {}
        self._storages: dict[CompiledFactory, Storage] = {}
        self._children: dict[CompiledFactory, list[Children]] = {}

    def __enter__(self) -> Maker:
        return self

    def __exit__(self, *error: Any) -> None:
        """Finish every COPY or, after an error, abandon it."""
        self._open.__exit__(*error)

    @contextmanager
    def abandoning_on_error(self) -> Iterator[None]:
        """Abandon every COPY if an error is raised inside, so that it can be rolled back."""
        try:
            yield
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def finish(self) -> None:
        """Wait until the server has accepted all rows."""
        for connection in self._connections.values():
            connection.finish()

    # Factories

    def is_native(self, factory: Any, given: Mapping[str, Any]) -> bool:
        """Return whether rows of a factory can only be made one by one, as objects."""
        if not issubclass(factory, self.base):
            return True
        pre, _ = declarations_of(factory, given)
        return needs_objects(factory, self.base, pre) is not None

    def compile(self, factory: Any, path: str, given: Mapping[str, Any]) -> CompiledFactory:
        """Compile a factory with what is given.

        :param path: names the random streams of its columns.
        :raises BulkError: the factory has a hook that needs each row as an object.
        """
        meta = factory._meta
        pre, post = declarations_of(factory, given)
        hidden = frozenset({*meta.exclude, *meta.parameters})
        if not issubclass(factory, self.base):
            return CompiledFactory(factory, path, pre, given, self.compiler, hidden)
        meta.start_over()
        mapper: Mapper[Any] = sa.inspect(meta.model)
        visible = [name for name in pre if name not in hidden]
        names = {name: name for name in visible if name not in meta.rename}
        names |= {meta.rename[name]: name for name in visible if name in meta.rename}
        storage = Storage(mapper, self._table(mapper), names)
        compiled = CompiledFactory(
            factory,
            path,
            pre,
            given,
            self.compiler,
            hidden,
            stored=frozenset(storage.sources),
            collections=_collections(mapper, names),
        )
        self._storages[compiled] = storage
        self._children[compiled] = list(children_of(self, compiled, post))
        return compiled

    def _table(self, mapper: Any) -> ServerTable:
        table = mapper.local_table
        if table not in self._tables:
            connection = self.session.connection(bind_arguments={"mapper": mapper})
            self._tables[table] = ServerTable(self._copy_connection(connection), table)
        return self._tables[table]

    def _copy_connection(self, connection: sa.Connection) -> CopyConnection:
        if connection not in self._connections:
            opened = self._open.enter_context(CopyConnection(connection))
            self._connections[connection] = opened
        return self._connections[connection]

    # Rows

    def make(
        self,
        compiled: CompiledFactory,
        rows: Sequence[int],
        index: str,
        container: Chunk | None = None,
        container_positions: Sequence[int] | None = None,
        supplied: Mapping[str, Values] | None = None,
    ) -> StoredChunk:
        """Evaluate and write rows and their children."""
        chunk = self.chunk(compiled, rows, index, container, container_positions, supplied)
        write([chunk])
        self.make_children(chunk)
        return chunk

    def chunk(
        self,
        compiled: CompiledFactory,
        rows: Sequence[int],
        index: str,
        container: Chunk | None = None,
        container_positions: Sequence[int] | None = None,
        supplied: Mapping[str, Values] | None = None,
    ) -> StoredChunk:
        """Return rows of a table that are neither evaluated nor written."""
        meta, storage = compiled.factory._meta, self._storages[compiled]
        numbers = take_sequence_numbers(meta, len(rows))
        place = (container, container_positions, supplied)
        chunk = StoredChunk(storage, compiled, rows, index, numbers, *place)
        for name, parents in (supplied or {}).items():
            relation = storage.mapper.relationships.get(meta.rename.get(name, name))
            if relation is not None and isinstance(parents, ParentRows):
                for reverse in reverse_relationships(relation):
                    parents.chunk.link_children(reverse.key, chunk, parents.positions)
        return chunk

    def make_children(self, chunk: Chunk) -> None:
        """Make the rows that are declared to follow the rows of a chunk."""
        for children in self._children[chunk.compiled]:
            children.make_for(chunk)


def declarations_of(factory: Any, given: Mapping[str, Any]) -> Any:
    """Return what is declared before and after a row is made, with what the call gives."""
    meta = factory._meta
    if meta.abstract:
        raise BulkError(f"{factory.__name__} is abstract: call a factory that has a model.")
    return parse_declarations(
        dict(given), base_pre=meta.pre_declarations, base_post=meta.post_declarations
    )


def _collections(mapper: Mapper[Any], names: Mapping[str, str]) -> dict[str, ParentCollection]:
    """Return the collections that get a row, by the declaration of the parent."""
    return {
        names[relation.key]: ParentCollection(relation.mapper.class_, reverse.key)
        for relation in mapper.relationships
        if relation.key in names and not relation.uselist
        for reverse in reverse_relationships(relation)
        if reverse.uselist
    }
