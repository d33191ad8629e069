"""Rows that are described one by one, in whichever order a story has, and written in bulk."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from factory import declarations, enums
from sqlalchemy.orm import Session

from ...errors import BulkError
from .chunks.chunk import CHUNK, Given, Plan
from .chunks.values import Listed, Values
from .chunks.views import Row
from .copy.batches import write
from .copy.storage import StoredChunk
from .maker import Run

#: How many drafts there must be for it to be worth while to write them.
WORTH_WRITING = 2 * CHUNK


class Draft:
    """A row that is described, and written later.

    Its attributes are those that it was given. Until it is written, they can be set; afterwards,
    those that were generated, and the key, can be read.
    """

    __slots__ = ("_factory", "_key", "_row", "_values")

    _factory: Any
    _key: dict[str, Any]
    _row: Row | None
    _values: dict[str, Any]

    def __init__(self, factory: Any, values: dict[str, Any]) -> None:
        for name, value in zip(self.__slots__, (factory, {}, None, values), strict=True):
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        if name in self._key:
            return self._key[name]
        if self._row is None:
            raise AttributeError(
                f"{name!r} of a draft of {self._factory.__name__} is generated when it is written:"
                " give it, or call `seed.flush()` before."
            )
        return getattr(self._row, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if self._row is not None:
            raise BulkError(
                f"{name!r} of a draft of {self._factory.__name__} is set too late: it is written"
                " already. Set it before `seed.flush()`, and in the same item of `seed.progress`."
            )
        self._values[name] = value

    def __repr__(self) -> str:
        return f"<draft of {self._factory.__name__}>"


class Drafts:
    """The rows of a story that are not written yet."""

    def __init__(self, session: Session, known: Any) -> None:
        self._session = session
        self._known = known
        self._run: Run | None = None
        self._pending: list[Draft] = []
        self._plans: dict[Hashable, Plan] = {}
        self._made: Counter[Hashable] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        """What writing has taken, by table."""

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, factory: Any, values: dict[str, Any]) -> Draft:
        """Describe a row."""
        draft = Draft(factory, values)
        self._pending.append(draft)
        return draft

    def write(self) -> None:
        """Write all that is described, parents first."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        self._session.flush()
        run = self._run = self._run or Run(self._session, self._known)
        with run.abandoned_on_error():
            self._write_all(run, pending)

    def _write_all(self, run: Run, drafts: list[Draft]) -> None:
        by_table: dict[sa.Table, list[Draft]] = {}
        for draft in drafts:
            table = sa.inspect(draft._factory._meta.model).local_table
            by_table.setdefault(table, []).append(draft)
        for table in next(iter(by_table)).metadata.sorted_tables:
            if table in by_table:
                begun = time.perf_counter()
                self._write(run, by_table[table])
                run.finish()
                self.seconds[table.name] += time.perf_counter() - begun

    def _write(self, run: Run, drafts: list[Draft]) -> None:
        """Write the drafts of one table."""
        groups: dict[Hashable, list[Draft]] = {}
        for draft in drafts:
            groups.setdefault(_shape(draft), []).append(draft)
        parts = [
            (self._chunk(run, shape, block), block)
            for shape, group in groups.items()
            for block in _blocks(group)
        ]
        _number(drafts, parts)
        # All know their keys now, and may refer to each other.
        for chunk, block in parts:
            for at, draft in enumerate(block):
                object.__setattr__(draft, "_row", Row(chunk, at))
        write([chunk for chunk, _ in parts])
        for chunk, _ in parts:
            run.make_children(chunk)

    def _chunk(self, run: Run, shape: Hashable, block: list[Draft]) -> StoredChunk:
        if shape not in self._plans:
            path = f"{run.seed}/{block[0]._factory.__name__}.{len(self._plans)}"
            self._plans[shape] = run.plan(block[0]._factory, path, _given(block[0]))
        plan, first = self._plans[shape], self._made[shape]
        self._made[shape] += len(block)
        rows = range(first, first + len(block))
        names = [name for name, value in plan.given.items() if isinstance(value, Given)]
        supplied: dict[str, Values] = {
            name: Listed([draft._values[name] for draft in block]) for name in names
        }
        return run.begin(plan, rows, str(first), supplied=supplied)


def _is_fixed(factory: Any, name: str, value: Any) -> bool:
    """Whether a value is part of how a row is made, and not only of the row."""
    return isinstance(value, declarations.BaseDeclaration) or _decides(factory, name)


@cache
def _decides(factory: Any, name: str) -> bool:
    """Whether it is a parameter, or something for the parents or the children of the row."""
    root, nested, _ = name.partition(enums.SPLITTER)
    meta = factory._meta
    return bool(nested) or name in meta.parameters or root in meta.post_declarations


def _shape(draft: Draft) -> Hashable:
    """What rows have in common that are made alike."""
    factory = draft._factory
    marks = [
        (name, id(value) if isinstance(value, declarations.BaseDeclaration) else value)
        if _is_fixed(factory, name, value)
        else (name, value is None)
        for name, value in draft._values.items()
    ]
    return factory, tuple(sorted(marks, key=lambda mark: mark[0]))


def _given(draft: Draft) -> dict[str, Any]:
    """What a plan is given for rows of the shape of a draft."""
    return {
        name: value if value is None or _is_fixed(draft._factory, name, value) else Given()
        for name, value in draft._values.items()
    }


def _blocks(drafts: list[Draft]) -> Iterator[list[Draft]]:
    for start in range(0, len(drafts), CHUNK):
        yield drafts[start : start + CHUNK]


def _number(drafts: list[Draft], parts: Sequence[tuple[StoredChunk, list[Draft]]]) -> None:
    """Give each draft its key. Those that the server counts follow the order of the story."""
    storage = parts[0][0].storage
    for key in storage.key:
        counted = [draft for chunk, block in parts if chunk.is_counted(key) for draft in block]
        places = {id(draft): at for at, draft in enumerate(drafts)}
        counted.sort(key=lambda draft: places[id(draft)])
        column = storage.sources[key].column.name
        numbers = storage.target.defaults(column, len(counted)) if counted else []
        for draft, number in zip(counted, numbers, strict=True):
            draft._key[key] = number
        for chunk, block in parts:
            if chunk.is_counted(key):
                chunk.preset(key, Listed([draft._key[key] for draft in block]))
                continue
            for draft, value in zip(block, chunk.stored(key), strict=True):
                draft._key[key] = value
