"""Who makes whom: the factories of an application as a graph."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from factory import declarations

from ..base import BaseFactory
from ..registry import Factories

__all__ = ["Edge", "Graph", "find_graph", "mermaid"]

#: How a kind of edge is drawn in Mermaid (https://mermaid.js.org/syntax/flowchart.html).
_ARROWS = {"parent": "-->", "optional": "-.->", "child": "--o", "kind": "==>"}


@dataclass(frozen=True)
class Edge:
    """That one factory makes rows of another, or is a kind of it."""

    source: str
    target: str
    kind: str
    """``parent``: each row has one; ``optional``: with a trait; ``child``: rows that a call can ask
    for; ``kind``: the source inherits from the target, and makes whom that makes."""

    labels: tuple[str, ...] = ()
    """The attributes, and for optional ones the traits."""


@dataclass(frozen=True)
class Graph:
    """Factories by name, in the order of definition, and their edges."""

    nodes: tuple[str, ...]
    edges: tuple[Edge, ...]


def find_graph(factories: Factories) -> Graph:
    """Read the declarations of all factories of a registry."""
    known = {factory: factories.name_of(factory) for factory in factories}
    merged: dict[tuple[str, str, str], list[str]] = {}
    for factory, source in known.items():
        above = next((base for base in factory.__mro__[1:] if base in known), None)
        if above is not None:
            merged[source, known[above], "kind"] = []
        inherited = set(_makes(above)) if above is not None else set()
        for target, kind, label in _makes(factory):
            if target in known and (target, kind, label) not in inherited:
                labels = merged.setdefault((source, known[target], kind), [])
                if label not in labels:
                    labels.append(label)
    edges = (Edge(*key, labels=tuple(labels)) for key, labels in merged.items())
    return Graph(tuple(known.values()), tuple(edges))


Made = tuple[type[BaseFactory[Any]], str, str]


def _makes(factory: type[BaseFactory[Any]]) -> Iterator[Made]:
    """Which factories one calls, how, and under which name."""
    options = factory._meta
    for name, value in options.base_declarations.items():
        yield from _made(value, name, "parent")
    for name, value in options.parameters.items():
        if isinstance(value, declarations.Trait):
            for attribute, overriding in value.overrides.items():
                yield from _made(overriding, f"{name}: {attribute}", "optional")
        else:
            yield from _made(value, name, "parent")


def _made(value: Any, label: str, kind: str) -> Iterator[Made]:
    if isinstance(value, declarations.SubFactory):
        yield value.get_factory(), kind, label
    elif isinstance(value, declarations.RelatedFactory):
        yield value.get_factory(), "child", label
    elif isinstance(value, declarations.Maybe):
        for branch in (value.yes, value.no):
            yield from _made(branch, label, "optional")


def mermaid(graph: Graph) -> str:
    """The graph as the text of a Mermaid flowchart."""
    lines = ["flowchart LR"]
    lines += [f'    {_identifier(name)}["{name}"]' for name in graph.nodes]
    for edge in graph.edges:
        label = f'|"{", ".join(edge.labels)}"|' if edge.labels else ""
        arrow = _ARROWS[edge.kind]
        lines.append(f"    {_identifier(edge.source)} {arrow}{label} {_identifier(edge.target)}")
    return "\n".join(lines) + "\n"


def _identifier(name: str) -> str:
    """A name as one of Mermaid's, which knows no dots; ``end`` is a word of its own."""
    return re.sub(r"\W", "_", name) + ("_" if name == "end" else "")
