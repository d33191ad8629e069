"""What `create_bulk` promises, on toy models: the same kind of rows as from single calls."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import factory
import pytest
import sqlalchemy as sa
from factory.declarations import BaseDeclaration
from sqlalchemy.orm import Session

from flask_testbed.errors import BulkError
from flask_testbed.factories.bulk import Keys
from flask_testbed.randomness import reseed
from tests.support.bulk_toys import (
    Cargo,
    CargoFactory,
    Port,
    PortFactory,
    Ship,
    ShipFactory,
    ToyFactory,
    Visit,
    VisitFactory,
    db,
    everything,
)

pytestmark = pytest.mark.usefixtures("toy")


# What it returns, and what it keeps


def test_the_keys_come_in_the_order_of_the_rows() -> None:
    keys = ShipFactory.create_bulk(7, port=None)
    ships = everything(Ship, Ship.id)
    assert isinstance(keys, Keys)
    assert list(keys) == [ship.id for ship in ships]
    assert repr(keys) == "<7 keys of Ship>"


def test_composite_keys_are_tuples() -> None:
    keys = VisitFactory.create_bulk(3)
    assert set(keys) == {(visit.port_id, visit.number) for visit in everything(Visit)}


def test_zero_is_a_number_too() -> None:
    assert list(ShipFactory.create_bulk(0)) == []
    assert everything(Port) == []


@pytest.mark.parametrize("size", [-1, 1.5, True, "3"])
def test_what_is_no_number_is_refused(size: Any) -> None:
    with pytest.raises(BulkError, match="is not a number of rows"):
        ShipFactory.create_bulk(size)


def test_rows_are_committed_as_those_of_a_batch() -> None:
    PortFactory.create_bulk(2)
    db.session.rollback()
    assert len(everything(Port)) == 2


def test_the_callers_transaction_is_left_alone_where_the_factory_flushes() -> None:
    class FlushedPortFactory(PortFactory):
        class Meta:
            registry = None
            sqlalchemy_session_persistence = "flush"

    FlushedPortFactory.create_bulk(2)
    assert everything(Port) == []
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Port)) == 2
    db.session.rollback()
    assert everything(Port) == []


def test_another_session_serves_one_call() -> None:
    with Session(db.engine) as session:
        PortFactory.create_bulk(2, _session=session)
    assert len(everything(Port)) == 2


def test_the_next_identity_follows() -> None:
    ShipFactory.create_bulk(5, port=None)
    assert ShipFactory(port=None).id == 6


# The same kind of rows


def test_every_type_is_stored_as_by_a_single_call() -> None:
    reseed("types")
    CargoFactory.create_bulk(4)
    bulk = everything(Cargo, Cargo.id)
    reseed("types")
    CargoFactory.create_batch(4)
    single = everything(Cargo, Cargo.id)[4:]

    fixed = ["real", "hour", "span", "naive", "grid", "moods", "plain", "strict", "fixed"]
    counted = ["text_mood", "fresh", "big", "tags", "document", "note"]
    drawn = ["mood", "small", "double", "price", "raw", "day", "aware"]
    for one, other in zip(bulk, single, strict=True):
        for name in fixed + counted:
            assert getattr(one, name) == getattr(other, name), name
        for name in drawn:
            assert type(getattr(one, name)) is type(getattr(other, name)), name
            assert getattr(one, name) != getattr(other, name) or name in ("mood", "small")
    assert len({cargo.raw for cargo in bulk}) == 4


def test_null_and_the_null_of_json_are_told_apart() -> None:
    CargoFactory.create_bulk(1)
    CargoFactory.create()
    query = "SELECT plain::text, strict::text, document::text FROM bulk_cargo ORDER BY id"
    with db.engine.connect() as connection:
        bulk, single = (tuple(row) for row in connection.execute(sa.text(query)))
    assert bulk[:2] == single[:2] == ("null", None)


def test_what_has_no_binary_form_is_sent_as_text() -> None:
    keys = CargoFactory.create_bulk(2, day="2026-02-03", tags=["x", None], price=Decimal("1.5"))
    (cargo, _) = everything(Cargo, Cargo.id)
    assert cargo.id == keys[0]
    assert (cargo.day, cargo.tags, cargo.price) == (date(2026, 2, 3), ["x", None], Decimal("1.5"))
    assert cargo.document["tags"] == ["x", None]


@pytest.mark.parametrize("grid", [[[1, 2], [3]], [[], [1]]])
def test_an_array_that_is_no_rectangle_is_refused_by_the_server(grid: list[Any]) -> None:
    with pytest.raises(BulkError, match="was refused by the column 'grid'"):
        CargoFactory.create_bulk(2, grid=grid)


@pytest.mark.parametrize("grid", [[], [[None, 2], [3, None]]])
def test_arrays_may_be_empty_or_hold_nulls(grid: list[Any]) -> None:
    CargoFactory.create_bulk(2, grid=grid)

    assert [cargo.grid for cargo in everything(Cargo, Cargo.id)] == [grid, grid]


def test_defaults_fill_what_is_not_declared() -> None:
    class BareShipFactory(ToyFactory[Ship]):
        class Meta:
            registry = None

        name = factory.Sequence("Ship {}".format)

    BareShipFactory.create_bulk(2)
    ship, _ = everything(Ship, Ship.id)
    assert (ship.crew, ship.flag, ship.shout, ship.port_id) == (3, "black", "SHIP 0", None)


def test_none_gets_the_default_as_in_a_single_call() -> None:
    crews = factory.Iterator([None, 8])
    flags = factory.Iterator([None, "red", None, None, "blue"])
    ShipFactory.create_bulk(6, port=None, crew=crews, flag=flags)
    ships = everything(Ship, Ship.id)
    assert [ship.crew for ship in ships] == [3, 8] * 3
    assert [ship.flag for ship in ships] == ["black", "red", "black", "black", "blue", "black"]


def test_a_default_may_look_at_its_row() -> None:
    def width(context: Any) -> int:
        return len(context.get_current_parameters()["name"])

    column = Port.__table__.c.depth
    before, column.default = column.default, sa.ColumnDefault(width)
    try:
        PortFactory.create_bulk(2, name=factory.Iterator(["a", "bb"]))
    finally:
        column.default = before
    assert sorted(port.depth for port in everything(Port)) == [1, 2]


def test_sequences_go_on_from_where_they_stood() -> None:
    reseed(1)
    PortFactory()
    PortFactory.create_bulk(2)
    PortFactory()
    assert {port.name for port in everything(Port)} == {f"Port {n}" for n in range(4)}


def test_iterators_go_on_from_where_they_stood() -> None:
    reseed(1)
    CargoFactory()
    CargoFactory.create_bulk(2)
    CargoFactory()
    assert [cargo.fresh for cargo in everything(Cargo, Cargo.id)] == [True, False] * 2


def test_traits_and_parameters_are_kept() -> None:
    ShipFactory.create_bulk(3, crowded=True)
    PortFactory.create_bulk(2, deep=True)
    assert {(ship.crew, ship.port_id) for ship in everything(Ship)} == {(500, None)}
    assert {port.depth for port in everything(Port)} == {40}


def test_a_trait_may_differ_from_row_to_row() -> None:
    ShipFactory.create_bulk(6, crowded=factory.Iterator([True, False]))
    ships = everything(Ship, Ship.id)
    assert [ship.crew == 500 for ship in ships] == [True, False] * 3
    assert [ship.port_id is None for ship in ships] == [True, False] * 3
    assert len(everything(Port)) == 3


def test_declarations_of_ones_own_are_evaluated_by_their_own_methods() -> None:
    class Shape(BaseDeclaration):
        """Looks at everything that factory_boy hands to a declaration."""

        def evaluate(self, instance: Any, step: Any, extra: dict[str, Any]) -> str:
            given = step.builder.extras["crew"]
            return f"{step.sequence} {instance.crew} {given} {extra['suffix']} {len(step.chain)}"

    reseed(1)
    ShipFactory.create_bulk(2, port=None, crew=4, name=Shape(), name__suffix="x")
    assert [ship.name for ship in everything(Ship, Ship.id)] == ["0 4 4 x 1", "1 4 4 x 1"]


def test_all_else_that_factory_boy_declares_works() -> None:
    class WideShipFactory(ShipFactory):
        class Meta:
            registry = None
            exclude = ("base",)
            rename = {"title": "name"}  # noqa: RUF012

        class Params:
            width = 3

        name = factory.declarations.SKIP
        base = factory.LazyAttributeSequence(lambda ship, n: f"{ship.width}-{n}")
        title = factory.LazyAttribute(lambda ship: f"{ship.base}!")
        crew = factory.Transformer("4", transform=int)
        flag = factory.ContainerAttribute(lambda ship, chain: f"{len(chain)}", strict=False)
        port = factory.SubFactory(PortFactory, name=factory.SelfAttribute("..title"))

    reseed(1)
    WideShipFactory.create_bulk(2, crew="7", port__depth=factory.SelfAttribute("..crew"))
    ships = everything(Ship, Ship.id)
    assert [(s.name, s.crew, s.flag) for s in ships] == [("3-0!", 7, "0"), ("3-1!", 7, "0")]
    assert {(port.name, port.depth) for port in everything(Port)} == {("3-0!", 7), ("3-1!", 7)}


def test_a_cycle_is_the_same_error() -> None:
    a = factory.LazyAttribute(lambda ship: ship.flag)
    b = factory.LazyAttribute(lambda ship: ship.name)
    with pytest.raises(factory.errors.CyclicDefinitionError, match="'name'"):
        ShipFactory.create_bulk(2, name=a, flag=b)


def test_columns_may_need_each_other_in_different_rows() -> None:
    turn = factory.Iterator([0, 1])
    name = factory.LazyAttribute(lambda ship: "first" if ship.crew % 2 else f"after {ship.flag}")
    flag = factory.LazyAttribute(lambda ship: "first" if not ship.crew % 2 else f"on {ship.name}")
    ShipFactory.create_bulk(4, port=None, crew=turn, name=name, flag=flag)
    assert [(ship.name, ship.flag) for ship in everything(Ship, Ship.id)] == [
        ("after first", "first"),
        ("first", "on first"),
    ] * 2


def test_an_unknown_attribute_is_an_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="ShipFactory declares no 'masts'"):
        ShipFactory.create_bulk(2, name=factory.LazyAttribute(lambda ship: ship.masts))
