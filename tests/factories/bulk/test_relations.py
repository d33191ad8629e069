"""Parents and children of rows that are made in bulk."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import factory
import pytest
import sqlalchemy as sa

from flask_testbed.errors import BulkError, FactoryError
from flask_testbed.factories import KeyOf, RelatedBatch, SharedParent
from flask_testbed.factories.bulk import Keys, create, from_rows
from flask_testbed.randomness import reseed
from tests.support.bulk_toys import (
    Port,
    PortFactory,
    Sailor,
    SailorFactory,
    Ship,
    ShipFactory,
    db,
    everything,
)

pytestmark = pytest.mark.usefixtures("toy")

START = datetime(2026, 5, 5, tzinfo=UTC)
BY_NUMBER = factory.Sequence(int)


def ports_of_ships() -> Counter[Any]:
    return Counter(ship.port_id for ship in everything(Ship))


# Parents


def test_each_row_gets_a_parent_of_its_own() -> None:
    ShipFactory.create_bulk(5, port__depth=9)
    assert ports_of_ships() == {port.id: 1 for port in everything(Port)}
    assert {port.depth for port in everything(Port)} == {9}


def test_a_given_parent_is_that_of_all_rows() -> None:
    port = PortFactory()
    ShipFactory.create_bulk(5, port=port)
    assert ports_of_ships() == {port.id: 5}


def test_a_parent_that_is_not_saved_yet_is_saved() -> None:
    ShipFactory.create_bulk(2, port=PortFactory.build())
    (port,) = everything(Port)
    assert ports_of_ships() == {port.id: 2}


def test_given_parents_are_spread_evenly() -> None:
    ports = PortFactory.create_batch(3)
    ShipFactory.create_bulk(9, port=from_rows(ports))
    assert ports_of_ships() == {port.id: 3 for port in ports}


def test_given_parents_are_spread_at_random() -> None:
    reseed("random")
    keys = PortFactory.create_bulk(3)
    ShipFactory.create_bulk(900, port=from_rows(keys, spread="at random"))
    found = ports_of_ships()
    assert set(found) == set(keys)
    assert all(200 < count < 400 for count in found.values())
    assert len(set(found.values())) > 1


def test_parents_are_what_a_query_finds() -> None:
    PortFactory.create_bulk(4, depth=factory.Iterator([1, 2]))
    deep = sa.select(Port).where(Port.depth == 2)
    ShipFactory.create_bulk(4, port=from_rows(deep))
    assert set(ports_of_ships()) == {port.id for port in everything(Port) if port.depth == 2}


@pytest.mark.parametrize("kind", ["keys", "rows", "query"])
def test_attributes_of_given_parents_can_be_read(kind: str) -> None:
    keys = PortFactory.create_bulk(3, name=factory.Iterator(["a", "b", "c"]))
    rows = [db.session.get(Port, key) for key in keys]
    query = sa.select(Port).order_by(Port.name)
    source = {"keys": keys, "rows": rows, "query": query}[kind]
    upper = factory.LazyAttribute(lambda ship: ship.port.name.upper())
    flag = factory.SelfAttribute("port.name")
    ShipFactory.create_bulk(5, port=from_rows(source), name=upper, flag=flag)
    ships = everything(Ship, Ship.id)
    assert [(s.name, s.flag) for s in ships] == [(c.upper(), c) for c in "abcab"]


def test_other_values_are_shared_as_well() -> None:
    ShipFactory.create_bulk(4, port=None, name=from_rows(["Argo", "Beagle"]))
    assert [ship.name for ship in everything(Ship, Ship.id)] == ["Argo", "Beagle"] * 2


def test_there_must_be_something_to_share() -> None:
    with pytest.raises(BulkError, match="There are no rows for 'port' to share"):
        ShipFactory.create_bulk(4, port=from_rows(sa.select(Port)))


def test_an_unknown_spread_is_refused() -> None:
    with pytest.raises(BulkError, match="'widely' is unknown: say 'evenly' or 'at random'"):
        from_rows([], spread="widely")  # type: ignore[arg-type]  # that is the point


def test_the_key_of_a_new_parent() -> None:
    class KeyedShipFactory(ShipFactory):
        class Meta:
            registry = None
            exclude = ("port",)

        port_id = KeyOf(PortFactory)

    KeyedShipFactory.create_bulk(3)
    assert ports_of_ships() == {port.id: 1 for port in everything(Port)}


def test_a_row_of_the_same_table_is_made_before() -> None:
    ShipFactory.create_bulk(3, sisterly=True, port=None)
    pairs = [(s.id, s.sister_id) for s in everything(Ship, Ship.id) if s.sister_id]
    assert len(pairs) == 3
    assert {sister for _, sister in pairs}.isdisjoint(ship for ship, _ in pairs)


def test_what_siblings_have_in_common_is_made_once() -> None:
    sister = factory.SubFactory(ShipFactory, port=factory.SelfAttribute("..port"))
    ShipFactory.create_bulk(3, sister=sister)
    ships = {ship.id: ship for ship in everything(Ship)}
    assert len(everything(Port)) == 3
    assert [s.port_id == ships[s.sister_id].port_id for s in ships.values() if s.sister_id] == (
        [True] * 3
    )


def test_a_shared_parent_is_that_of_the_given_sibling() -> None:
    class FleetFactory(ShipFactory):
        class Meta:
            registry = None

        port = SharedParent(PortFactory, "sister.port")
        sister = factory.SubFactory(ShipFactory, port=factory.SelfAttribute("..port"))

    FleetFactory.create_bulk(3)
    assert set(ports_of_ships().values()) == {2}
    leader = ShipFactory()
    keys = FleetFactory.create_bulk(3, sister=leader)
    assert {s.port_id for s in everything(Ship) if s.id in keys} == {leader.port_id}
    leaders = ShipFactory.create_bulk(3)
    keys = FleetFactory.create_bulk(3, sister=from_rows(leaders))
    ports = {ship.id: ship.port_id for ship in everything(Ship)}
    assert [ports[key] for key in keys] == [ports[key] for key in leaders]


def test_parents_that_need_objects_are_made_one_by_one() -> None:
    class KnownPortFactory(PortFactory):
        class Meta:
            registry = None
            sqlalchemy_get_or_create = ("name",)

    ShipFactory.create_bulk(4, port=factory.SubFactory(KnownPortFactory, name="Home"))
    (port,) = everything(Port)
    assert ports_of_ships() == {port.id: 4}


# Children


def test_children_are_made_for_each_row() -> None:
    keys = ShipFactory.create_bulk(4, with_sailors=3, port=None)
    found = Counter(sailor.ship_id for sailor in everything(Sailor))
    assert found == dict.fromkeys(keys, 3)


def test_children_see_their_elder_siblings() -> None:
    keys = ShipFactory.create_bulk(4, with_sailors=3, with_sailors__name="Ann", port=None)
    found = [(s.ship_id, s.rank, s.name) for s in everything(Sailor, Sailor.id)]
    assert found == [(key, rank, "Ann") for key in keys for rank in (1, 2, 3)]


@pytest.mark.parametrize("kind", ["row", "rows", "keys"])
def test_children_of_given_parents_see_their_elder_siblings(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(create, "CHUNK", 4)
    ships = [ShipFactory(port=None), ShipFactory(port=None)]
    SailorFactory(ship=ships[0])
    keys = Keys(Ship)
    keys.extend([ship.id for ship in ships])
    source = {"row": ships[0], "rows": from_rows(ships), "keys": from_rows(keys)}[kind]
    assert len(ships[0].sailors) == 1

    SailorFactory.create_bulk(10, ship=source)

    found = [(sailor.ship_id, sailor.rank) for sailor in everything(Sailor, Sailor.id)][1:]
    first, second = keys
    if kind == "row":
        assert found == [(first, rank) for rank in range(2, 12)]
    else:
        assert sorted(found) == [
            *((first, rank) for rank in range(2, 7)),
            *((second, rank) for rank in range(1, 6)),
        ]


def test_siblings_may_depend_on_each_other_in_two_columns() -> None:
    joined = factory.LazyAttribute(lambda sailor: sailor.left - timedelta(days=1))
    left = factory.LazyAttribute(
        lambda sailor: min((other.joined for other in sailor.ship.sailors), default=START)
    )
    ShipFactory.create_bulk(
        2, port=None, with_sailors=3, with_sailors__joined=joined, with_sailors__left=left
    )
    sailors = everything(Sailor, Sailor.id)
    days = [(START - sailor.left).days for sailor in sailors]
    assert days == [0, 1, 2] * 2
    assert all(sailor.left - sailor.joined == timedelta(days=1) for sailor in sailors)


def test_related_factories_make_children_and_grandchildren() -> None:
    class FullPortFactory(PortFactory):
        class Meta:
            registry = None

        ships = factory.RelatedFactoryList(ShipFactory, "port", size=2, with_sailors=2)
        flagship = factory.RelatedFactory(ShipFactory, "port", name="Flagship")

    ports = FullPortFactory.create_bulk(3, flagship__crew=77)
    ships = everything(Ship)
    assert Counter(ship.port_id for ship in ships) == dict.fromkeys(ports, 3)
    assert Counter((ship.name == "Flagship", ship.crew == 77) for ship in ships) == {
        (True, True): 3,
        (False, False): 6,
    }
    assert len(everything(Sailor)) == 12


def test_the_number_of_children_may_be_drawn() -> None:
    reseed("sizes")

    class DrawnPortFactory(PortFactory):
        class Meta:
            registry = None

        ships = factory.RelatedFactoryList(
            ShipFactory, "port", size=lambda: factory.random.randgen.choice([1, 5])
        )

    DrawnPortFactory.create_bulk(20)
    assert set(ports_of_ships().values()) == {1, 5}


def test_a_trait_may_ask_for_children() -> None:
    class BusyPortFactory(PortFactory):
        class Meta:
            registry = None

        class Params:
            busy = factory.Trait(ships=factory.RelatedFactoryList(ShipFactory, "port", size=2))

    BusyPortFactory.create_bulk(2)
    assert everything(Ship) == []
    BusyPortFactory.create_bulk(2, busy=True)
    assert list(ports_of_ships().values()) == [2, 2]


def test_children_know_of_what_they_are_a_part() -> None:
    class NamedPortFactory(PortFactory):
        class Meta:
            registry = None

        ships = factory.RelatedFactoryList(
            ShipFactory,
            "port",
            size=2,
            name=factory.SelfAttribute("..name"),
            flag=factory.LazyAttribute(lambda ship: ship.factory_parent.name.upper()),
        )

    NamedPortFactory.create_bulk(2, name=factory.Iterator(["a", "b"]))
    assert [(s.name, s.flag) for s in everything(Ship, Ship.id)] == [
        ("a", "A"),
        ("a", "A"),
        ("b", "B"),
        ("b", "B"),
    ]


@pytest.mark.parametrize("size", [-1, 1.5, True, "3"])
def test_what_is_no_number_of_children_is_refused(size: Any) -> None:
    with pytest.raises(FactoryError, match="is not a number of related rows"):
        ShipFactory.create_bulk(2, with_sailors=size)
    assert everything(Port) == []


def test_many_children_of_one_row_come_in_blocks() -> None:
    keys = ShipFactory.create_bulk(2, port=None, with_sailors=5001, with_sailors__rank=BY_NUMBER)
    found = Counter(sailor.ship_id for sailor in everything(Sailor))
    assert found == dict.fromkeys(keys, 5001)


def test_children_are_asked_for_by_the_class_that_says_so() -> None:
    class Crew(RelatedBatch):
        """Not known, so not replaced."""

    class CrewedShipFactory(ShipFactory):
        class Meta:
            registry = None

        crewed = Crew(SailorFactory, "ship")

    with pytest.raises(BulkError, match="its hook 'crewed' needs each row as an object"):
        CrewedShipFactory.create_bulk(2)
