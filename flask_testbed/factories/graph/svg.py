"""A graph of factories as an SVG file, which needs no other file."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from html import escape

from .graph import Edge, Graph
from .layout import Layout, lay_out

__all__ = ["svg"]

#: Sizes in pixels. A letter of the font is about seven pixels wide.
LETTER, HEIGHT, BETWEEN, MARGIN = 7.2, 30, 14, 24
#: The space for edges between two layers.
GAP = 110

_STYLE = """
  svg { background: #fff; font: 12px ui-sans-serif, system-ui, sans-serif; }
  rect { fill: #f4f6fa; stroke: #5b6b86; }
  text { fill: #1c2433; }
  path { fill: none; stroke: #5b6b86; stroke-width: 1.3; }
  .optional { stroke-dasharray: 5 4; }
  .child { stroke-dasharray: 1 4; stroke-linecap: round; stroke-width: 2; }
  .kind { stroke: #b9c2d2; stroke-width: 3; }
  marker path { fill: #5b6b86; stroke: none; }
  @media (prefers-color-scheme: dark) {
    svg { background: #161b26; }
    rect { fill: #232b3b; stroke: #8d9bb5; }
    text { fill: #e6eaf2; }
    path { stroke: #8d9bb5; }
    .kind { stroke: #465066; }
    marker path { fill: #8d9bb5; }
  }
"""

_KEY = [
    ("parent", "for each row"),
    ("optional", "with a trait"),
    ("child", "if the call asks for them"),
    ("kind", "is a kind of"),
]

Box = tuple[float, float, float]
"""The left end of a node, the vertical position of its middle, and its width."""


def svg(graph: Graph) -> str:
    """Return the text of an SVG file.

    A row's parents stand to the right of it. Each line has a title for pointers and screen readers.
    """
    layout = lay_out(graph.nodes, [_ends(edge) for edge in graph.edges])
    boxes = _boxes(layout)
    width = max((x + w for x, _, w in boxes.values()), default=0) + MARGIN
    height = max((y for _, y, _ in boxes.values()), default=0) + HEIGHT / 2 + MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height + 30:.0f}"'
        f' width="{width:.0f}" height="{height + 30:.0f}" role="img">',
        "<title>Factories, and the rows that they create</title>",
        f"<style>{_STYLE}</style>",
        '<marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"'
        ' markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 8 4 0 8z"/></marker>',
        *(_edge(edge, layout, boxes) for edge in graph.edges),
        *(_node(name, boxes[name]) for name in graph.nodes),
        *_key(height),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _ends(edge: Edge) -> tuple[str, str]:
    """Return the left and the right end: a child stands to the left of its parent."""
    pair = edge.source, edge.target
    return pair[::-1] if edge.kind == "child" else pair


def _boxes(layout: Layout) -> dict[Hashable, Box]:
    """Return the place of everything. Each layer is a column, centred vertically."""
    boxes: dict[Hashable, Box] = {}
    tallest = max((len(layer) for layer in layout.layers), default=0)
    left = float(MARGIN)
    for layer in layout.layers:
        width = max(_width(one) for one in layer)
        top = MARGIN + HEIGHT / 2 + (tallest - len(layer)) * (HEIGHT + BETWEEN) / 2
        for place, one in enumerate(layer):
            boxes[one] = (left, top + place * (HEIGHT + BETWEEN), _width(one) or width)
        left += width + GAP
    return boxes


def _width(one: Hashable) -> float:
    """Return the width of a node, or 0 for an edge, which is as wide as its layer."""
    return len(one) * LETTER + 20 if isinstance(one, str) else 0


def _node(name: str, box: Box) -> str:
    x, y, width = box
    return (
        f'<rect x="{x:.1f}" y="{y - HEIGHT / 2:.1f}" width="{width:.1f}" height="{HEIGHT}" rx="5"/>'
        f'<text x="{x + width / 2:.1f}" y="{y + 4:.1f}" text-anchor="middle">{escape(name)}</text>'
    )


def _edge(edge: Edge, layout: Layout, boxes: dict[Hashable, Box]) -> str:
    if edge.source == edge.target:
        points = _loop(boxes[edge.source])
    else:
        path = [boxes[one] for one in layout.paths[_ends(edge)]]
        # A parent and a child may create each other: their lines lie side by side.
        lower = 5 if edge.kind == "child" else 0
        path = [(x, y + lower, width) for x, y, width in path]
        points = _curve(path[::-1] if edge.kind == "child" else path)
    verb = "is a kind of" if edge.kind == "kind" else "creates"
    title = f"{edge.source} {verb} {edge.target}"
    title += f" ({', '.join(edge.labels)})" if edge.labels else ""
    return (
        f'<path class="{edge.kind}" d="{points}" marker-end="url(#arrow)">'
        f"<title>{escape(title)}</title></path>"
    )


def _loop(box: Box) -> str:
    x, y, width = box
    right, top = x + width, y - HEIGHT / 2
    return f"M{right:.1f} {y:.1f} c30 -4 20 -{HEIGHT} {-width / 4:.1f} {top - y:.1f}"


def _curve(boxes: list[Box]) -> str:
    """Return a path from the first box to the last, through those between."""
    forth = boxes[-1][0] > boxes[0][0]
    parts = []
    x, y, width = boxes[0]
    x += width if forth else 0
    parts.append(f"M{x:.1f} {y:.1f}")
    for index, (left, height, wide) in enumerate(boxes[1:], 1):
        end = left if forth else left + wide
        bend = (end - x) / 2
        parts.append(
            f"C{x + bend:.1f} {y:.1f} {end - bend:.1f} {height:.1f} {end:.1f} {height:.1f}"
        )
        x, y = end, height
        if index < len(boxes) - 1:
            x = left + wide if forth else left
            parts.append(f"H{x:.1f}")
    return " ".join(parts)


def _key(top: float) -> Iterator[str]:
    x = float(MARGIN)
    for kind, meaning in _KEY:
        yield (
            f'<path class="{kind}" d="M{x:.1f} {top:.1f} h34" marker-end="url(#arrow)"/>'
            f'<text x="{x + 42:.1f}" y="{top + 4:.1f}">{meaning}</text>'
        )
        x += 42 + len(meaning) * 6 + 30
