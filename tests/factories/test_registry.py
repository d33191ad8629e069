"""The registry of factories, and the application that it is bound to."""

from __future__ import annotations

import pytest
from flask import Flask

from flask_testbed.errors import FactoryError
from flask_testbed.factories import (
    BaseFactory,
    Factories,
    trait_names,
)
from tests.support.factory_toys import (
    Dog,
    DogFactory,
    Owner,
    OwnerFactory,
    PuppyFactory,
    ToyFactory,
    db,
    factories,
)


def test_without_init_app_the_error_names_both_causes() -> None:
    with Flask("bare").app_context(), pytest.raises(FactoryError) as caught:
        OwnerFactory()
    message = str(caught.value)
    assert "'bare' has no factories" in message
    assert "`factories.init_app(app, db)` was not called" in message
    assert "not the one that it was called for" in message


def test_init_app_twice_is_an_error(toy_app: Flask) -> None:
    with pytest.raises(FactoryError, match=r"'toy' has its factories already"):
        Factories().init_app(toy_app, db)


def test_the_registry_holds_every_factory_but_the_abstract_ones() -> None:
    names = {found.__name__ for found in factories}
    assert {"OwnerFactory", "DogFactory", "PuppyFactory"} <= names
    assert "ToyFactory" not in names
    assert len(factories) == len(list(factories))


def test_the_registry_finds_by_name() -> None:
    assert factories["OwnerFactory"] is OwnerFactory
    with pytest.raises(FactoryError, match=r"called 'CatFactory'. There are: .*DogFactory"):
        factories["CatFactory"]


def test_namesakes_are_told_apart_by_where_they_are() -> None:
    registry = Factories()
    twins = [
        type(BaseFactory)(
            "TwinFactory",
            (BaseFactory,),
            {
                "__module__": f"toys.{place}.twin",
                "Meta": type("Meta", (), {"model": Owner, "registry": registry}),
            },
        )
        for place in ("left", "right")
    ]
    assert [registry.name_of(twin) for twin in twins] == ["left.TwinFactory", "right.TwinFactory"]
    assert [registry["left.TwinFactory"], registry["right.TwinFactory"]] == twins
    with pytest.raises(FactoryError, match=r"say 'left.TwinFactory' or 'right.TwinFactory'"):
        registry["TwinFactory"]


def test_the_registry_finds_by_model_the_most_general_first() -> None:
    assert factories.for_model(Dog)[:2] == (DogFactory, PuppyFactory)
    assert factories.for_model(db.Model) == ()


def test_trait_names_include_inherited_ones() -> None:
    assert trait_names(PuppyFactory) == ["clever", "lazy", "spotted"]
    assert trait_names(ToyFactory) == []
