"""The places of a graph's nodes, in layers between which all edges have one direction.

The method is that of Sugiyama, Tagawa and Toda (1981): reverse the edges that close a cycle, put
each node one layer after its last predecessor, divide long edges at the layers that they cross, and
order each layer so that few edges intersect.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

__all__ = ["Layout", "lay_out"]

#: How often the layers are sorted, forwards and backwards in turn. More changes little.
SWEEPS = 24

Pair = tuple[str, str]


@dataclass
class Layout:
    """Nodes in layers. No edge leads to the first layer."""

    layers: list[list[Hashable]] = field(default_factory=list)
    """The names of nodes, and a pair of edge and layer number where an edge crosses a layer."""

    paths: dict[Pair, list[Hashable]] = field(default_factory=dict)
    """What each edge connects: its source, the layers that it crosses, and its target."""


def lay_out(nodes: Sequence[str], edges: Iterable[Pair]) -> Layout:
    """Return the layout of a graph.

    :param nodes: the names of the nodes. Their order decides where nothing else does.
    :param edges: pairs of source and target. Edges from a node to itself are left out.
    """
    pairs = list(dict.fromkeys(edge for edge in edges if edge[0] != edge[1]))
    reversed_ = _closing(nodes, pairs)
    ranks = _ranks(nodes, [edge[::-1] if edge in reversed_ else edge for edge in pairs])
    layout = Layout([[] for _ in range(max(ranks.values(), default=-1) + 1)])
    for name in nodes:
        layout.layers[ranks[name]].append(name)
    for edge in pairs:
        layout.paths[edge] = _path(edge, ranks, layout.layers)
    _sort_layers(layout)
    return layout


def _closing(nodes: Sequence[str], edges: Sequence[Pair]) -> set[Pair]:
    """Return the edges that close a cycle when the nodes are visited in order."""
    after: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        after[source].append(target)
    closing: set[Pair] = set()
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        for target in after[name]:
            if target in path:
                closing.add((name, target))
            elif target not in done:
                visit(target, (*path, target))
        done.add(name)

    for name in nodes:
        if name not in done:
            visit(name, (name,))
    return closing


def _ranks(nodes: Sequence[str], edges: Sequence[Pair]) -> dict[str, int]:
    """Return the number of each node's layer: one more than that of its last predecessor."""
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
    # A node without predecessors moves to the layer before its first successor.
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


def _sort_layers(layout: Layout) -> None:
    """Sort each layer by the places of the neighbours, repeatedly, and keep the best order."""
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
