"""The graph of factories, as text and as a picture; and what a type checker knows of factories."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Generic, TypeVar

import factory
import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from flask_testbed.factories import BaseFactory, Factories, RelatedBatch
from flask_testbed.factories.graph.graph import Edge, find_graph, mermaid
from flask_testbed.factories.graph.layout import lay_out
from flask_testbed.factories.graph.svg import svg
from tests.support.paths import ROOT
from tests.support.toys import Toys

M = TypeVar("M")
SVG = "{http://www.w3.org/2000/svg}"


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class Owner(db.Model):
    __tablename__ = "graph_owners"

    id: Mapped[int] = mapped_column(primary_key=True)
    friend_id: Mapped[int | None] = mapped_column(ForeignKey("graph_owners.id"))
    friend: Mapped[Owner | None] = relationship(remote_side=[id])
    dogs: Mapped[list[Dog]] = relationship(back_populates="owner")


class Dog(db.Model):
    __tablename__ = "graph_dogs"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("graph_owners.id"))
    owner: Mapped[Owner] = relationship(back_populates="dogs")


factories = Factories()


class ToyFactory(BaseFactory[M], Generic[M]):
    class Meta:
        abstract = True
        registry = factories


class OwnerFactory(ToyFactory[Owner]):
    class Params:
        befriended = factory.Trait(friend=factory.SubFactory(f"{__name__}.OwnerFactory"))

    with_dogs = RelatedBatch(f"{__name__}.DogFactory", "owner")


class DogFactory(ToyFactory[Dog]):
    owner = factory.SubFactory(OwnerFactory)


class PuppyFactory(DogFactory):
    pass


@pytest.fixture
def toy_app(toys: Toys) -> Flask:
    app = toys.app(None, db)
    factories.init_app(app, db)
    return app


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


def test_mermaid_is_the_default(toys: Toys, toy_app: Flask) -> None:
    outcome = toys.run(toy_app, "factories", "graph")

    assert outcome.status == 0, outcome.text
    lines = [line.strip() for line in outcome.out.splitlines()]
    assert lines[0] == "flowchart LR"
    assert 'DogFactory["DogFactory"]' in lines
    assert 'DogFactory -->|"owner"| OwnerFactory' in lines
    assert 'OwnerFactory --o|"with_dogs"| DogFactory' in lines
    assert 'OwnerFactory -.->|"befriended: friend"| OwnerFactory' in lines
    assert "PuppyFactory ==> DogFactory" in lines


def test_a_name_with_a_dot_is_a_label_and_no_identifier(app: Flask) -> None:
    text = mermaid(find_graph(app.extensions["flask_testbed_factories"].factories))

    assert 'workspace_AgentFactory["workspace.AgentFactory"]' in text


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


def test_no_factories_make_an_empty_picture() -> None:
    assert ET.fromstring(svg(find_graph(Factories()))).tag == f"{SVG}svg"


def test_a_picture_is_written_and_never_over_another(
    toys: Toys, toy_app: Flask, tmp_path: Path
) -> None:
    command = ["factories", "graph", "--format", "svg", "--output", str(tmp_path / "made.svg")]

    assert toys.run(toy_app, *command).status == 0
    toys.run(toy_app, *command).assert_says("exists already and is not overwritten")


def test_the_list_fits_80_columns(app: Flask) -> None:
    output = app.test_cli_runner().invoke(args=["factories", "list"]).output

    assert "EventFactory             Event             events\n    with_chain\n" in output
    assert max(map(len, output.splitlines())) <= 80


def test_the_list_can_be_read_by_a_program(toys: Toys, toy_app: Flask) -> None:
    outcome = toys.run(toy_app, "factories", "list", "--json")

    assert json.loads(outcome.out)[0] == {
        "factory": "OwnerFactory",
        "model": "Owner",
        "table": "graph_owners",
        "traits": ["befriended"],
    }


@pytest.mark.parametrize("command", ["list", "lint", "graph"])
def test_an_application_without_factories_is_told_so(toys: Toys, command: str) -> None:
    outcome = toys.run(toys.app(None), "factories", command)

    outcome.assert_says("has no factories: call `factories.init_app(app, db)`")


TYPED = """
from typing import Generic, TypeVar
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from flask_testbed.factories import BaseFactory

class Base(DeclarativeBase):
    pass

class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)

class UserFactory(BaseFactory[User]):
    id = 1

class AdminFactory(UserFactory):
    pass

reveal_type(UserFactory())
reveal_type(UserFactory.create(id=2))
reveal_type(UserFactory.build())
reveal_type(UserFactory.create_batch(3))
reveal_type(UserFactory.build_batch(3))
reveal_type(AdminFactory())
UserFactory().nothing
"""


#: Kept for the next run: without it, this takes as long as a check of SQLAlchemy.
CACHE = ROOT / ".mypy_cache" / "typed"


def test_a_type_checker_knows_what_a_call_gives(tmp_path: Path) -> None:
    file = tmp_path / "typed.py"
    file.write_text(TYPED)

    outcome = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={CACHE}", file],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={"MYPYPATH": str(ROOT), "PATH": ""},
    )

    said = [
        line.partition("typed.py:")[2].partition(": ")[2] for line in outcome.stdout.splitlines()
    ]
    assert [line for line in said if line] == [
        'note: Revealed type is "typed.User"',
        'note: Revealed type is "typed.User"',
        'note: Revealed type is "typed.User"',
        'note: Revealed type is "list[typed.User]"',
        'note: Revealed type is "list[typed.User]"',
        'note: Revealed type is "typed.User"',
        'error: "User" has no attribute "nothing"  [attr-defined]',
    ]


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "flask_testbed/py.typed").read_text() == ""
