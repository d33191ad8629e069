"""The factories of an application as a graph: which creates rows of which others."""

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
    """Two factories, the first of which creates rows of the second, or inherits from it."""

    source: str
    target: str
    kind: str
    """``parent``: for each row; ``optional``: with a trait; ``child``: if a call asks for them;
    ``kind``: the source inherits from the target, and creates the same rows."""

    labels: tuple[str, ...] = ()
    """The attributes that the rows are created for, and the traits of optional ones."""


@dataclass(frozen=True)
class Graph:
    """The names of factories, in the order of definition, and the edges between them."""

    nodes: tuple[str, ...]
    edges: tuple[Edge, ...]


def find_graph(factories: Factories) -> Graph:
    """Return the graph of all factories of a registry, read from their declarations."""
    known = {factory: factories.name_of(factory) for factory in factories}
    merged: dict[tuple[str, str, str], list[str]] = {}
    for factory, source in known.items():
        base = next((one for one in factory.__mro__[1:] if one in known), None)
        if base is not None:
            merged[source, known[base], "kind"] = []
        inherited = set(_created(base)) if base is not None else set()
        for target, kind, label in _created(factory):
            if target in known and (target, kind, label) not in inherited:
                labels = merged.setdefault((source, known[target], kind), [])
                if label not in labels:
                    labels.append(label)
    edges = (Edge(*key, labels=tuple(labels)) for key, labels in merged.items())
    return Graph(tuple(known.values()), tuple(edges))


Created = tuple[type[BaseFactory[Any]], str, str]
"""A factory that another one calls, the kind of the edge, and its label."""


def _created(factory: type[BaseFactory[Any]]) -> Iterator[Created]:
    """Yield the factories that one factory calls."""
    options = factory._meta
    for name, value in options.base_declarations.items():
        yield from _created_by(value, name, "parent")
    for name, value in options.parameters.items():
        if isinstance(value, declarations.Trait):
            for attribute, overriding in value.overrides.items():
                yield from _created_by(overriding, f"{name}: {attribute}", "optional")
        else:
            yield from _created_by(value, name, "parent")


def _created_by(value: Any, label: str, kind: str) -> Iterator[Created]:
    if isinstance(value, declarations.SubFactory):
        yield value.get_factory(), kind, label
    elif isinstance(value, declarations.RelatedFactory):
        yield value.get_factory(), "child", label
    elif isinstance(value, declarations.Maybe):
        for branch in (value.yes, value.no):
            yield from _created_by(branch, label, "optional")


def mermaid(graph: Graph) -> str:
    """Return the text of a Mermaid flowchart."""
    lines = ["flowchart LR"]
    lines += [f'    {_identifier(name)}["{name}"]' for name in graph.nodes]
    for edge in graph.edges:
        label = f'|"{", ".join(edge.labels)}"|' if edge.labels else ""
        arrow = _ARROWS[edge.kind]
        lines.append(f"    {_identifier(edge.source)} {arrow}{label} {_identifier(edge.target)}")
    return "\n".join(lines) + "\n"


def _identifier(name: str) -> str:
    """Return a name for Mermaid, where dots are not allowed and ``end`` is a keyword."""
    return re.sub(r"\W", "_", name) + ("_" if name == "end" else "")
