"""Rows that come with others: parents, made before them, and children, made after."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from factory import declarations

from ..declarations import OnRequest, RelatedBatch, SharedParent
from ..errors import BulkError, FactoryError
from ..randomness import drawing_from
from .chunk import CHUNK, Chunk, MadeRows, Node, Plan, Selection, Varying, Workshop
from .nodes import Native
from .values import Listed, Part, Same, Values


def whole_of(chunk: Chunk) -> tuple[Chunk, Sequence[int]]:
    """The chunk that rows are a selection of, and where they are in it."""
    if isinstance(chunk, Selection):
        return chunk.whole, chunk.positions
    return chunk, range(len(chunk))


class Parents(Node):
    """A new parent for each row."""

    def __init__(
        self, workshop: Workshop, plan: Plan, name: str, given: Mapping[str, Any], factory: Any
    ) -> None:
        self.workshop = workshop
        self.plan = workshop.plan(factory, f"{plan.path}.{name}", given)

    def fill(self, chunk: Chunk) -> Values:
        whole, positions = whole_of(chunk)
        made = self.workshop.make(self.plan, chunk.rows, chunk.index, whole, positions)
        return MadeRows(made, range(len(made)))


class KeysOf(Node):
    """The keys of new parents."""

    def __init__(self, parents: Node) -> None:
        self.parents = parents

    def fill(self, chunk: Chunk) -> Values:
        return self.parents.fill(chunk).part("id")


class SharedParents(Node):
    """The parents that given siblings have; if none is given, new ones."""

    def __init__(self, path: list[str], native: Native) -> None:
        self.path = path
        self.native = native

    def fill(self, chunk: Chunk) -> Values:
        values = chunk.column(self.path[0])
        if any(value is None for value in values):
            return self.native.fill(chunk)
        for name in self.path[1:]:
            values = values.mapped(Part(name))
        return values


def given_path(plan: Plan, shared: SharedParent) -> list[str] | None:
    """The path to the parent whose beginning the call gives; None if it gives none of them."""
    for path in shared.paths:
        names = path.split(".")
        starts = ["__".join(names[:depth]) for depth in range(1, len(names) + 1)]
        if any(plan.given.get(start) is not None for start in starts):
            return names
    return None


class Parts(Node):
    """A dictionary or a list, whose items are declared."""

    def __init__(
        self, workshop: Workshop, plan: Plan, name: str, given: Mapping[str, Any], factory: Any
    ) -> None:
        self.plan = workshop.plan(factory, f"{plan.path}.{name}", given)
        self.kind = factory._meta.model

    def fill(self, chunk: Chunk) -> Values:
        whole, positions = whole_of(chunk)
        parts = Chunk(self.plan, chunk.rows, chunk.index, chunk.sequences, whole, positions)
        names = list(self.plan.pre)
        columns = [parts.column(name) for name in names]
        if all(isinstance(column, Same) for column in columns):
            return Same(self._made(names, [column[0] for column in columns]), len(chunk))
        return Listed([self._made(names, row) for row in zip(*columns, strict=True)])

    def _made(self, names: list[str], values: Sequence[Any]) -> Any:
        if self.kind is dict:
            return dict(zip(names, values, strict=True))
        return list(values)


# Children


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


class Given(Varying):
    """Stands where a call gives a value for each row."""


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
