"""Children: rows that are made after the rows that they refer to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from factory import declarations

from ...errors import BulkError
from ...randomness import drawing_from
from ..declarations import OnRequest, RelatedBatch, related_size
from .chunks.chunk import CHUNK, Chunk
from .chunks.compiled import CompiledFactory
from .chunks.parent_rows import ParentRows, RowMaker
from .chunks.steps import PerRow, Supplied


class Children:
    """Makes the children of one kind, for one chunk of parents after another."""

    def __init__(
        self,
        maker: RowMaker,
        name: str,
        compiled: CompiledFactory,
        parent: str,
        size: int | Callable[[], int],
    ) -> None:
        """
        :param name: the declaration in the factory of the parents.
        :param parent: the declaration of the parent in the factory of the children, or empty.
        :param size: the number of children of each parent.
        """
        self._maker = maker
        self._name = name
        self._compiled = compiled
        self._parent = parent
        self._size = size
        self._made = 0

    def make_for(self, parents: Chunk) -> None:
        """Make the children of a chunk, in chunks in which all children of a parent are."""
        for number, positions in enumerate(_blocks(self._sizes(parents))):
            rows = range(self._made, self._made + len(positions))
            self._made += len(positions)
            supplied = {self._parent: ParentRows(parents, positions)} if self._parent else {}
            index = f"{parents.index}.{number}"
            self._maker.make(self._compiled, rows, index, parents, positions, supplied)

    def _sizes(self, parents: Chunk) -> list[int]:
        if isinstance(self._size, int):
            return [self._size] * len(parents)
        with drawing_from(parents.stream(f"{self._name}.size")):
            return [self._size() for _ in range(len(parents))]


def _blocks(sizes: list[int]) -> Iterator[list[int]]:
    """Yield the position of each child's parent, in blocks of about the size of a chunk."""
    block: list[int] = []
    for parent, size in enumerate(sizes):
        for start in range(0, size, CHUNK):
            block.extend([parent] * min(CHUNK, size - start))
            if len(block) >= CHUNK:
                yield block
                block = []
    if block:
        yield block


def children_of(maker: RowMaker, compiled: CompiledFactory, post: Any) -> Iterator[Children]:
    """Yield the children that the rows of a factory have.

    :param post: what the factory declares to happen after a row is made.
    :raises BulkError: a hook would run, which needs a row as an object.
    """
    for name in post.sorted():
        found = post[name]
        children = _children(maker, compiled, name, found.declaration, dict(found.context))
        if children is not None:
            yield children


def _children(
    maker: RowMaker,
    compiled: CompiledFactory,
    name: str,
    declaration: Any,
    context: dict[str, Any],
) -> Children | None:
    kind = type(declaration)
    if kind is declarations.Maybe:
        branch = _chosen(compiled, name, declaration)
        return _children(maker, compiled, name, branch, context)
    if kind is OnRequest and not any(context.values()):
        return None
    if not isinstance(declaration, declarations.PostGenerationDeclaration):
        return None
    if kind not in (declarations.RelatedFactory, declarations.RelatedFactoryList, RelatedBatch):
        raise BulkError(
            f"{compiled.factory.__name__} cannot be made in bulk: its hook {name!r} needs each row"
            " as an object. Make the rows one by one, hooks and all, with `_exact=True`."
        )
    given = "" in context
    value = context.pop("", None)
    size: Any = 1 if kind is declarations.RelatedFactory else getattr(declaration, "size", 0)
    if kind is RelatedBatch:
        size = related_size(value)
    elif given:
        # The call gives the related rows themselves, so none are made.
        return None
    if size == 0:
        return None
    values = {**declaration.defaults, **context}
    if declaration.name:
        values[declaration.name] = Supplied()
    related = maker.compile(declaration.get_factory(), f"{compiled.path}.{name}", values)
    return Children(maker, name, related, declaration.name, size)


def _chosen(compiled: CompiledFactory, name: str, maybe: Any) -> Any:
    """Return the branch that a trait takes, if all rows take the same one."""
    decider = maybe.decider
    flag = getattr(decider, "attribute_name", "")
    known = type(decider) is declarations.SelfAttribute and decider.depth <= 1
    value = None
    if known and flag in compiled.declarations:
        value = compiled.declarations[flag].declaration
    if not known or isinstance(value, declarations.BaseDeclaration | PerRow):
        raise BulkError(
            f"{compiled.factory.__name__} cannot be made in bulk: whether a row has {name!r}"
            " depends on the row. Make the rows one by one with `_exact=True`."
        )
    return maybe.yes if value else maybe.no
