"""The graph of factories as a picture."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from flask import Flask

from flask_testbed.factories import Factories
from flask_testbed.factories.graph.graph import find_graph
from flask_testbed.factories.graph.svg import svg

SVG = "{http://www.w3.org/2000/svg}"


def test_the_picture_shows_every_factory_and_every_edge(app: Flask) -> None:
    graph = find_graph(app.extensions["flask_testbed_factories"].factories)

    root = ET.fromstring(svg(graph))  # our own text

    shown = {text.text for text in root.iter(f"{SVG}text")}
    said = [title.text for path in root.iter(f"{SVG}path") for title in path]
    assert shown >= set(graph.nodes)
    assert len(said) == len(graph.edges)
    assert "AgentExecutionFactory creates governance.AgentFactory (agent)" in said


def test_the_picture_needs_nothing_else(app: Flask) -> None:
    text = svg(find_graph(app.extensions["flask_testbed_factories"].factories))

    for reference in ("href", "@import", "<script", "<image", "url(http"):
        assert reference not in text


def test_no_two_boxes_of_the_picture_overlap(app: Flask) -> None:
    root = ET.fromstring(svg(find_graph(app.extensions["flask_testbed_factories"].factories)))
    boxes = [
        tuple(float(rect.attrib[key]) for key in ("x", "y", "width", "height"))
        for rect in root.iter(f"{SVG}rect")
    ]

    assert boxes
    for number, (x, y, width, height) in enumerate(boxes):
        for left, top, wide, high in boxes[:number]:
            apart = x >= left + wide or left >= x + width or y >= top + high or top >= y + height
            assert apart


def test_no_factories_make_an_empty_picture() -> None:
    assert ET.fromstring(svg(find_graph(Factories()))).tag == f"{SVG}svg"
