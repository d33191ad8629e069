"""Where the boxes and lines of a picture are."""

from __future__ import annotations

from flask_testbed.factories.graph.layout import lay_out


def test_edges_lead_from_layer_to_layer() -> None:
    layout = lay_out("abcd", [("a", "b"), ("b", "c"), ("a", "c"), ("d", "c")])

    ranks = {name: number for number, layer in enumerate(layout.layers) for name in layer}
    assert [ranks[name] for name in "abcd"] == [0, 1, 2, 1]
    # The long edge passes the layer between.
    assert len(layout.paths["a", "c"]) == 3


def test_a_circle_is_laid_out_too() -> None:
    layout = lay_out("abc", [("a", "b"), ("b", "c"), ("c", "a")])

    assert [len(layer) for layer in layout.layers] == [1, 2, 1]  # one place for the edge back
    assert layout.paths["c", "a"][0] == "c"


def test_edges_do_not_cross_without_need() -> None:
    layout = lay_out("abxy", [("a", "y"), ("b", "x")])

    first, second = layout.layers
    assert (first.index("a") < first.index("b")) == (second.index("y") < second.index("x"))
