"""Building rows, and finding those that are there."""

from __future__ import annotations

import factory
import pytest
from flask import Flask
from sqlalchemy import inspect, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from flask_testbed.errors import FactoryError
from flask_testbed.factories import (
    writing_to,
)
from tests.support.factory_toys import (
    DogFactory,
    KnownNickFactory,
    KnownOwnerFactory,
    Owner,
    OwnerFactory,
    db,
)


def test_build_needs_no_application() -> None:
    dog = DogFactory.build()
    assert dog.owner.name.startswith("owner ")
    assert inspect(dog).transient
    assert inspect(dog.owner).transient


# Get or create


def test_get_or_create_finds_the_row(toy: Flask) -> None:
    assert KnownOwnerFactory(name="Ada") is KnownOwnerFactory(name="Ada")


def test_get_or_create_finds_a_row_that_differs_in_what_was_generated(toy: Flask) -> None:
    ada = KnownNickFactory(name="Ada", nick="countess")
    assert KnownNickFactory(nick="countess") is ada


def test_get_or_create_as_a_parent_uses_what_was_given_to_the_parent(toy: Flask) -> None:
    class TaggedDogFactory(DogFactory):
        class Meta:
            registry = None

        owner = factory.SubFactory(KnownNickFactory)

    ada = KnownNickFactory(name="Ada", nick="countess")
    assert TaggedDogFactory(owner__nick="countess").owner is ada


def test_a_conflict_in_get_or_create_undoes_nothing_else(elsewhere: Session) -> None:
    KnownNickFactory(name="Ada", nick="countess")
    unsaved = Owner(name="in the same transaction")
    db.session.add(unsaved)
    with writing_to(db.session()):
        KnownNickFactory(nick="countess")
    db.session.commit()
    assert set(elsewhere.scalars(select(Owner.name))) == {"Ada", "in the same transaction"}


def test_a_row_lost_in_a_conflict_does_not_linger_with_its_parents(toy: Flask) -> None:
    class UniqueDogFactory(DogFactory):
        class Meta:
            registry = None
            sqlalchemy_get_or_create = ("tag", "name")

    rex = DogFactory(tag="1")
    owner = OwnerFactory(with_dogs=1)
    found = UniqueDogFactory(tag="1", owner=owner)
    assert found is rex
    assert len(owner.dogs) == 1


def test_a_conflict_that_no_row_explains_is_raised(toy: Flask) -> None:
    OwnerFactory(nick="countess")
    with pytest.raises(IntegrityError):
        KnownOwnerFactory(name="Ada", nick="countess")


def test_get_or_create_without_a_value_names_the_field(toy: Flask) -> None:
    with pytest.raises(FactoryError, match="KnownNickFactory looks its rows up by 'nick'"):
        KnownNickFactory()
