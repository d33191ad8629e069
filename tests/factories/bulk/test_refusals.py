"""What bulk creation refuses, how it says so, and what it makes one by one instead."""

from __future__ import annotations

import gc
import uuid
import weakref
from typing import Any

import factory
import pytest
import sqlalchemy as sa
from factory import fuzzy
from sqlalchemy import event
from sqlalchemy.orm import Session

from flask_testbed.errors import BulkError, FactoryError
from flask_testbed.factories import BaseFactory, Derived, OnRequest, Token
from flask_testbed.factories.bulk import from_rows
from tests.support.bulk_toys import (
    Port,
    PortFactory,
    Sailor,
    SailorFactory,
    Ship,
    ShipFactory,
    ToyFactory,
    db,
    everything,
)

pytestmark = pytest.mark.usefixtures("toy")


def shout(row: Any, create: bool, value: Any, **_: Any) -> None:
    row.name = f"{row.name}!"


class HookedPortFactory(PortFactory):
    class Meta:
        registry = None

    shouted = factory.PostGeneration(shout)


# Unique columns


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (factory.Faker("city"), "drawn from few"),
        (fuzzy.FuzzyChoice(["a", "b"]), "drawn from few"),
        (Derived("depth", str), "every row would have the value '7'"),
        (factory.SelfAttribute("town"), "drawn from few"),
        (factory.Maybe("odd", factory.Faker("city"), factory.Sequence(str)), "drawn from few"),
        ("Home", "every row would have the value 'Home'"),
    ],
)
def test_what_repeats_in_a_unique_column_is_refused_by_name(name: Any, why: str) -> None:
    class TownPortFactory(PortFactory):
        class Meta:
            registry = None

        class Params:
            town = factory.Faker("city")
            odd = factory.Iterator([True, False])

        depth = 7

    with pytest.raises(BulkError) as caught:
        TownPortFactory.create_bulk(3, name=name)
    message = str(caught.value)
    assert message.startswith("TownPortFactory cannot be made in bulk: 'name' is unique, and ")
    assert why in message
    assert (caught.value.table, caught.value.column) == ("bulk_ports", "name")
    assert everything(Port) == []


@pytest.mark.parametrize(
    "name",
    [
        factory.Sequence("Port {}".format),
        factory.Faker("uuid4"),
        Token(16),
        factory.LazyAttribute(lambda port: f"{port.id}"),
    ],
)
def test_unique_columns_are_unique_beyond_one_chunk(name: Any) -> None:
    PortFactory.create_bulk(10_001, name=name, id=factory.Faker("uuid4", cast_to=None))
    with db.engine.connect() as connection:
        query = sa.text("SELECT count(DISTINCT name), count(DISTINCT id) FROM bulk_ports")
        assert tuple(connection.execute(query).one()) == (10_001, 10_001)


# Errors of the database


def test_a_check_that_fails_is_named_with_its_row() -> None:
    crews = factory.Iterator([3] * 5004 + [-1])
    with pytest.raises(BulkError) as caught:
        ShipFactory.create_bulk(6000, port=None, crew=crews)
    error = caught.value
    assert (error.row, error.table, error.constraint) == (5004, "bulk_ships", "crew_range")
    assert str(error).startswith("Row 5,004 of ShipFactory was refused by the table 'bulk_ships'")
    assert "crew_range" in str(error)
    assert "\n" not in str(error)
    assert everything(Ship) == []


def test_a_value_that_does_not_fit_is_named_with_its_column() -> None:
    names = factory.Iterator(["fits", "x" * 61])
    with pytest.raises(BulkError, match=r"Row 1 of ShipFactory .* column 'name'") as caught:
        ShipFactory.create_bulk(2, port=None, name=names)
    assert (caught.value.row, caught.value.column) == (1, "name")


def test_a_missing_value_is_named_with_its_column() -> None:
    with pytest.raises(BulkError, match="column 'name' of table 'bulk_ships'") as caught:
        ShipFactory.create_bulk(2, port=None, name=factory.Iterator(["a", None]))
    assert (caught.value.row, caught.value.column) == (1, "name")


def test_a_row_that_is_there_already_is_named() -> None:
    PortFactory(name="taken")
    names = factory.Iterator(["free", "taken"])
    with pytest.raises(BulkError, match=r"Key \(name\)=\(taken\) already exists") as caught:
        PortFactory.create_bulk(2, name=names)
    assert caught.value.row == 1
    assert caught.value.constraint == "bulk_ports_name_key"


def test_a_parent_that_is_not_there_is_named() -> None:
    class KeyedShipFactory(ShipFactory):
        class Meta:
            registry = None
            exclude = ("port",)

    with pytest.raises(BulkError, match=r"Key \(port_id\)=.* is not present") as caught:
        KeyedShipFactory.create_bulk(2, port=None, port_id=uuid.UUID(int=7))
    assert caught.value.constraint == "bulk_ships_port_id_fkey"


def test_a_refused_row_undoes_this_call_and_nothing_else() -> None:
    class FlushedShipFactory(ShipFactory):
        class Meta:
            registry = None
            sqlalchemy_session_persistence = "flush"

    before = FlushedShipFactory(port=None)
    with pytest.raises(BulkError):
        FlushedShipFactory.create_bulk(3, crew=-1, with_sailors=1)
    db.session.commit()
    assert [ship.id for ship in everything(Ship)] == [before.id]
    assert everything(Port) == []


def test_a_childs_row_is_named_too() -> None:
    names = factory.Iterator(["a", "b", "c", None])
    with pytest.raises(BulkError, match=r"Row 3 of SailorFactory") as caught:
        ShipFactory.create_bulk(2, port=None, with_sailors=2, with_sailors__name=names)
    assert caught.value.table == "bulk_sailors"
    assert everything(Ship) == []


# What needs each row as an object


@pytest.mark.parametrize(
    "hook",
    [
        factory.PostGeneration(shout),
        factory.PostGenerationMethodCall("__repr__"),
        factory.Maybe("depth", factory.PostGeneration(shout)),
    ],
)
def test_a_hook_is_refused_by_name(hook: Any) -> None:
    class OtherPortFactory(PortFactory):
        class Meta:
            registry = None

        after = hook

    with pytest.raises(BulkError) as caught:
        OtherPortFactory.create_bulk(2)
    assert "'after'" in str(caught.value)
    assert "`_exact=True`" in str(caught.value)
    assert everything(Port) == []


def test_a_hook_of_a_parent_is_refused_as_well() -> None:
    with pytest.raises(BulkError, match=r"HookedPortFactory .* its hook 'shouted'"):
        ShipFactory.create_bulk(2, port=factory.SubFactory(HookedPortFactory))


def test_a_hook_on_request_is_skipped_until_it_is_asked_for() -> None:
    class LoudPortFactory(PortFactory):
        class Meta:
            registry = None

        loud = OnRequest(shout)

    LoudPortFactory.create_bulk(2)
    assert not any(port.name.endswith("!") for port in everything(Port))
    with pytest.raises(BulkError, match="its hook 'loud'"):
        LoudPortFactory.create_bulk(2, loud=True)
    assert LoudPortFactory(loud=True).name.endswith("!")
    assert not LoudPortFactory().name.endswith("!")


def test_exact_rows_are_made_one_by_one_with_their_hooks() -> None:
    keys = HookedPortFactory.create_bulk(3, _exact=True)
    ports = {port.id: port for port in everything(Port)}
    assert len(ports) == 3
    assert set(keys) == set(ports)
    assert all(port.name.endswith("!") for port in ports.values())


def test_exact_rows_share_given_parents() -> None:
    ports = PortFactory.create_bulk(2)
    ShipFactory.create_bulk(4, _exact=True, port=from_rows(ports), crew=from_rows([1, 2]))
    ships = everything(Ship, Ship.id)
    assert [ship.port_id for ship in ships] == [ports[0], ports[1]] * 2
    assert [ship.crew for ship in ships] == [1, 2] * 2


def test_exact_rows_are_forgotten() -> None:
    seen: list[weakref.ref[Any]] = []

    class WatchedPortFactory(PortFactory):
        class Meta:
            registry = None

        watched = factory.PostGeneration(lambda row, *_, **__: seen.append(weakref.ref(row)))

    WatchedPortFactory.create_bulk(1200, _exact=True)
    gc.collect()
    assert len(seen) == 1200
    assert not any(reference() for reference in seen)


class OwnCreate(PortFactory):
    class Meta:
        registry = None

    @classmethod
    def _create(cls, model_class: Any, *args: Any, **kwargs: Any) -> Any:
        return super()._create(model_class, *args, **{**kwargs, "depth": 99})


class Adjusted(PortFactory):
    class Meta:
        registry = None

    @classmethod
    def _adjust_kwargs(cls, **kwargs: Any) -> dict[str, Any]:
        return {**kwargs, "depth": 99}


class Known(PortFactory):
    class Meta:
        registry = None
        sqlalchemy_get_or_create = ("name",)

    depth = 99


@pytest.mark.parametrize("kind", [OwnCreate, Adjusted, Known])
def test_a_factory_that_does_more_is_kept_exactly(kind: type[BaseFactory[Port]]) -> None:
    keys = kind.create_bulk(3)
    assert len(set(keys)) == 3
    assert {port.depth for port in everything(Port)} == {99}


def test_a_model_that_listens_is_kept_exactly() -> None:
    def deepen(mapper: Any, connection: Any, port: Port) -> None:
        port.depth = 99

    event.listen(Port, "before_insert", deepen)
    try:
        ShipFactory.create_bulk(3)
    finally:
        event.remove(Port, "before_insert", deepen)
    assert {port.depth for port in everything(Port)} == {99}
    assert len(everything(Port)) == 3


def test_collections_that_are_declared_are_kept_exactly() -> None:
    crew = factory.LazyFunction(lambda: SailorFactory.build_batch(1, ship=None, rank=1))
    ShipFactory.create_bulk(2, port=None, sailors=crew)
    assert [sailor.ship_id for sailor in everything(Sailor, Sailor.id)] == [1, 2]


def test_an_abstract_factory_makes_no_rows() -> None:
    with pytest.raises(FactoryError, match="abstract"):
        ToyFactory.create_bulk(2)


def test_no_event_of_the_session_is_left_behind() -> None:
    with Session(db.engine) as session:
        PortFactory.create_bulk(2, _session=session)
        assert not session.in_transaction()


def test_an_error_while_rows_are_under_way_leaves_the_session_in_order() -> None:
    def fail(number: int) -> str:
        if number > 5500:
            raise ZeroDivisionError
        return f"Port {number}"

    PortFactory.reset_sequence(0)
    with pytest.raises(ZeroDivisionError):
        PortFactory.create_bulk(6000, name=factory.Sequence(fail))
    assert db.session.scalars(sa.select(Port)).all() == []
    assert len(PortFactory.create_bulk(2)) == 2


def test_functions_may_query_the_session_while_rows_are_under_way() -> None:
    def count(port: Any) -> int:
        return db.session.scalar(sa.select(sa.func.count()).select_from(Port)) if port.odd else 0

    class CountingPortFactory(PortFactory):
        class Meta:
            registry = None

        class Params:
            odd = factory.Sequence(lambda n: n % 5000 == 1)

        depth = factory.LazyAttribute(count)

    CountingPortFactory.reset_sequence(0, force=True)
    CountingPortFactory.create_bulk(5002)
    with db.engine.connect() as connection:
        depths = connection.scalars(sa.text("SELECT DISTINCT depth FROM bulk_ports ORDER BY 1"))
        assert list(depths) == [0, 5000]
