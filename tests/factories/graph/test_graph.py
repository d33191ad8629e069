"""The graph of factories, and its text."""

from __future__ import annotations

from flask import Flask

from flask_testbed.factories.graph.graph import Edge, find_graph, mermaid
from tests.support.factory_toys import factories


def test_the_graph_has_each_way_of_making() -> None:
    graph = find_graph(factories)

    assert graph.nodes == ("OwnerFactory", "DogFactory", "PuppyFactory")
    assert set(graph.edges) == {
        Edge("OwnerFactory", "OwnerFactory", "optional", ("befriended: friend",)),
        Edge("OwnerFactory", "DogFactory", "child", ("with_dogs",)),
        Edge("DogFactory", "OwnerFactory", "parent", ("owner",)),
        # It makes an owner too, as it is a dog's factory; that is said once.
        Edge("PuppyFactory", "DogFactory", "kind"),
    }


def test_a_name_with_a_dot_is_a_label_and_no_identifier(app: Flask) -> None:
    text = mermaid(find_graph(app.extensions["flask_testbed_factories"].factories))

    assert 'workspace_AgentFactory["workspace.AgentFactory"]' in text
