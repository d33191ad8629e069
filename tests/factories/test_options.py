"""The options of ``class Meta``."""

from __future__ import annotations

import pytest

from flask_testbed.errors import FactoryError
from flask_testbed.factories import (
    BaseFactory,
)
from tests.support.factory_toys import (
    Dog,
    Owner,
    OwnerFactory,
    PuppyFactory,
    ToyFactory,
    factories,
)


def test_the_model_comes_from_the_type_parameter() -> None:
    assert OwnerFactory._meta.model is Owner
    assert PuppyFactory._meta.model is Dog
    assert ToyFactory._meta.abstract


def test_the_model_in_meta_comes_before_the_type_parameter() -> None:
    class ChiefFactory(ToyFactory[Owner]):
        class Meta:
            model = Dog
            registry = None

    assert ChiefFactory._meta.model is Dog
    assert ChiefFactory not in list(factories)


@pytest.mark.parametrize("option", ["sqlalchemy_session", "sqlalchemy_session_factory"])
def test_a_session_in_meta_is_refused_when_the_factory_is_defined(option: str) -> None:
    with pytest.raises(FactoryError, match=f"KeptFactory.Meta sets '{option}'.*`_session=`"):
        type(BaseFactory)("KeptFactory", (BaseFactory,), {"Meta": type("Meta", (), {option: list})})
