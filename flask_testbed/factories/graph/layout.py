"""Where the nodes of a graph are drawn: in layers, so that edges lead one way.

The method of Sugiyama, Tagawa and Toda (1981): turn the edges that would close a circle, put each
node one layer after the last of those that lead to it, part long edges at the layers that they
pass, and order each layer so that few edges cross.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

__all__ = ["Layout", "lay_out"]

#: How often the layers are put in order, to and fro. More changes little.
SWEEPS = 24

Pair = tuple[str, str]


@dataclass
class Layout:
    """Layers of nodes, the first of which no edge leads to."""

    layers: list[list[Hashable]] = field(default_factory=list)
    """Names of nodes; and, for each edge that passes a layer, the edge with the layer's number."""

    paths: dict[Pair, list[Hashable]] = field(default_factory=dict)
    """What each edge passes, from its source to its target."""


def lay_out(nodes: Sequence[str], edges: Iterable[Pair]) -> Layout:
    """Put nodes in layers.

    :param nodes: the names; their order decides where nothing else does.
    :param edges: from whom to whom. Edges from a node to itself are left out.
    """
    pairs = list(dict.fromkeys(edge for edge in edges if edge[0] != edge[1]))
    turned = _closing(nodes, pairs)
    ranks = _ranks(nodes, [edge[::-1] if edge in turned else edge for edge in pairs])
    layout = Layout([[] for _ in range(max(ranks.values(), default=-1) + 1)])
    for name in nodes:
        layout.layers[ranks[name]].append(name)
    for edge in pairs:
        layout.paths[edge] = _path(edge, ranks, layout.layers)
    _put_in_order(layout)
    return layout


def _closing(nodes: Sequence[str], edges: Sequence[Pair]) -> set[Pair]:
    """The edges that lead back to a node from which one is coming."""
    after: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        after[source].append(target)
    closing: set[Pair] = set()
    done: set[str] = set()

    def visit(name: str, coming: tuple[str, ...]) -> None:
        for target in after[name]:
            if target in coming:
                closing.add((name, target))
            elif target not in done:
                visit(target, (*coming, target))
        done.add(name)

    for name in nodes:
        if name not in done:
            visit(name, (name,))
    return closing


def _ranks(nodes: Sequence[str], edges: Sequence[Pair]) -> dict[str, int]:
    """The layer of each node: one after the last of those before it."""
    before: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        before[target].append(source)
    ranks: dict[str, int] = {}

    def rank(name: str) -> int:
        if name not in ranks:
            ranks[name] = max((rank(one) + 1 for one in before[name]), default=0)
        return ranks[name]

    for name in nodes:
        rank(name)
    # Whoever only leads to others stands right before them.
    for name in sorted(nodes, key=lambda one: ranks[one], reverse=True):
        after = [ranks[target] for source, target in edges if source == name]
        if after and not before[name]:
            ranks[name] = min(after) - 1
    return ranks


def _path(edge: Pair, ranks: dict[str, int], layers: list[list[Hashable]]) -> list[Hashable]:
    first, last = (ranks[name] for name in edge)
    step = 1 if last > first else -1
    passed: list[Hashable] = [(edge, number) for number in range(first + step, last, step)]
    for number, point in zip(range(first + step, last, step), passed, strict=True):
        layers[number].append(point)
    return [edge[0], *passed, edge[1]]


def _put_in_order(layout: Layout) -> None:
    """Move each node to the middle of its neighbours, layer by layer; keep the best order."""
    links = [link for path in layout.paths.values() for link in pairwise(path)]
    neighbours: dict[Hashable, list[Hashable]] = {}
    for one, other in links:
        neighbours.setdefault(one, []).append(other)
        neighbours.setdefault(other, []).append(one)
    best, fewest = [list(layer) for layer in layout.layers], _crossings(layout.layers, links)
    for sweep in range(SWEEPS):
        numbers = range(1, len(layout.layers))
        forth = sweep % 2 == 0
        for number in numbers if forth else [one - 1 for one in reversed(numbers)]:
            fixed = layout.layers[number - 1 if forth else number + 1]
            _sort(layout.layers[number], fixed, neighbours)
        crossings = _crossings(layout.layers, links)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layout.layers], crossings
    layout.layers[:] = best


def _sort(
    layer: list[Hashable], fixed: Sequence[Hashable], neighbours: dict[Hashable, list[Hashable]]
) -> None:
    places = {one: place for place, one in enumerate(fixed)}
    before = {one: place for place, one in enumerate(layer)}

    def middle(one: Hashable) -> float:
        found = [places[other] for other in neighbours.get(one, []) if other in places]
        return sum(found) / len(found) if found else before[one]

    layer.sort(key=middle)


def _crossings(
    layers: Sequence[Sequence[Hashable]], links: Iterable[tuple[Hashable, Hashable]]
) -> int:
    where = {one: (number, at) for number, row in enumerate(layers) for at, one in enumerate(row)}
    between: dict[int, list[tuple[int, int]]] = {}
    for link in links:
        (number, left), (_, right) = sorted(where[one] for one in link)
        between.setdefault(number, []).append((left, right))
    return sum(
        (one[0] - other[0]) * (one[1] - other[1]) < 0
        for found in between.values()
        for index, one in enumerate(found)
        for other in found[:index]
    )
