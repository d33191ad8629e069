"""Rows that are made after the row that they refer to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from factory import declarations

from ...errors import BulkError, FactoryError
from ...randomness import drawing_from
from ..declarations import OnRequest, RelatedBatch
from .chunks.chunk import CHUNK, Chunk, Given, MadeRows, Plan, Varying, Workshop


@dataclass(frozen=True)
class Children:
    """What a factory makes after each of its rows."""

    name: str
    """How the factory calls them."""

    plan: Plan
    parent: str
    """How they call the row; empty if they do not."""

    size: int | Callable[[], int]

    def sizes(self, chunk: Chunk) -> list[int]:
        """How many each row gets."""
        if isinstance(self.size, int):
            return [self.size] * len(chunk)
        with drawing_from(chunk.stream(f"{self.name}.size")):
            return [self.size() for _ in range(len(chunk))]


def children_of(workshop: Workshop, plan: Plan, post: Any) -> Iterator[Children]:
    """What is to be made after the rows of a plan.

    :raises BulkError: a hook would run, which needs a row as an object.
    """
    for name in post.sorted():
        found = post[name]
        children = _children(workshop, plan, name, found.declaration, dict(found.context))
        if children is not None:
            yield children


def _children(
    workshop: Workshop, plan: Plan, name: str, declaration: Any, context: dict[str, Any]
) -> Children | None:
    kind = type(declaration)
    if kind is declarations.Maybe:
        return _chosen(workshop, plan, name, declaration, context)
    if kind is OnRequest and not any(context.values()):
        return None
    if not isinstance(declaration, declarations.PostGenerationDeclaration):
        return None
    if kind not in (declarations.RelatedFactory, declarations.RelatedFactoryList, RelatedBatch):
        raise BulkError(
            f"{plan.factory.__name__} cannot be made in bulk: its hook {name!r} needs each row as"
            " an object. Make the rows one by one, hooks and all, with `_exact=True`."
        )
    given = "" in context
    value = context.pop("", None)
    size: Any = 1 if kind is declarations.RelatedFactory else getattr(declaration, "size", 0)
    if kind is RelatedBatch:
        size = _whole_number(value)
    elif given:
        # The call gives the related rows themselves, so none are made.
        return None
    if size == 0:
        return None
    values = {**declaration.defaults, **context}
    if declaration.name:
        values[declaration.name] = Given()
    made = workshop.plan(declaration.get_factory(), f"{plan.path}.{name}", values)
    return Children(name, made, declaration.name, size)


def _chosen(
    workshop: Workshop, plan: Plan, name: str, maybe: Any, context: dict[str, Any]
) -> Children | None:
    """The branch that a trait has taken, if it is the same one for all rows."""
    decider = maybe.decider
    flag = getattr(decider, "attribute_name", "")
    known = type(decider) is declarations.SelfAttribute and decider.depth <= 1
    value = plan.pre[flag].declaration if known and flag in plan.pre else None
    if not known or isinstance(value, declarations.BaseDeclaration | Varying):
        raise BulkError(
            f"{plan.factory.__name__} cannot be made in bulk: whether a row has {name!r} depends on"
            " the row. Make the rows one by one with `_exact=True`."
        )
    branch = maybe.yes if value else maybe.no
    return _children(workshop, plan, name, branch, context)


def _whole_number(value: Any) -> int:
    size = 0 if value is None else value
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise FactoryError(
            f"{size!r} is not a number of related rows: give a whole number, 0 or more."
        )
    return size


class Nursery:
    """Makes the children of one kind, for chunk after chunk of their parents."""

    def __init__(self, workshop: Workshop, children: Children) -> None:
        self.workshop = workshop
        self.children = children
        self._made = 0

    def make_for(self, parents: Chunk) -> None:
        """Make them, some thousand at a time, all of one parent together."""
        for number, places in enumerate(self._blocks(self.children.sizes(parents))):
            rows = range(self._made, self._made + len(places))
            self._made += len(places)
            name = self.children.parent
            supplied = {name: MadeRows(parents, places)} if name else {}
            index = f"{parents.index}.{number}"
            self.workshop.make(self.children.plan, rows, index, parents, places, supplied)

    @staticmethod
    def _blocks(sizes: list[int]) -> Iterator[list[int]]:
        """The parent of each child, in blocks of about as many as a chunk has."""
        block: list[int] = []
        for parent, size in enumerate(sizes):
            for start in range(0, size, CHUNK):
                block.extend([parent] * min(CHUNK, size - start))
                if len(block) >= CHUNK:
                    yield block
                    block = []
        if block:
            yield block
