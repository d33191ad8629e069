"""Toy models of owners and dogs, and their factories."""

from __future__ import annotations

from typing import Generic, TypeVar

import factory
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from flask_testbed.factories import BaseFactory, Factories, RelatedBatch
from tests.support.toys import adopted_app

M = TypeVar("M")


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class Owner(db.Model):
    __tablename__ = "toy_owners"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    nick: Mapped[str | None] = mapped_column(unique=True)
    friend_id: Mapped[int | None] = mapped_column(ForeignKey("toy_owners.id"))
    friend: Mapped[Owner | None] = relationship(remote_side=[id])
    dogs: Mapped[list[Dog]] = relationship(back_populates="owner")


class Dog(db.Model):
    __tablename__ = "toy_dogs"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    trick: Mapped[str | None]
    tag: Mapped[str | None] = mapped_column(unique=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("toy_owners.id"))
    owner: Mapped[Owner] = relationship(back_populates="dogs")


factories = Factories()


class ToyFactory(BaseFactory[M], Generic[M]):
    class Meta:
        abstract = True
        registry = factories


class OwnerFactory(ToyFactory[Owner]):
    class Params:
        befriended = factory.Trait(friend=factory.SubFactory(f"{__name__}.OwnerFactory"))

    name = factory.Sequence("owner {}".format)
    with_dogs = RelatedBatch(f"{__name__}.DogFactory", "owner")


class DogFactory(ToyFactory[Dog]):
    class Params:
        clever = factory.Trait(trick="sings")
        lazy = factory.Trait(trick=factory.Iterator(["sleeps", "snores"]))

    name = factory.Faker("first_name")
    owner = factory.SubFactory(OwnerFactory)


class PuppyFactory(DogFactory):
    class Params:
        spotted = factory.Trait(name="Pongo")


# Of no registry: they are like the factory of owners but for one option


class FlushedOwnerFactory(OwnerFactory):
    class Meta:
        registry = None
        sqlalchemy_session_persistence = "flush"


class PendingOwnerFactory(OwnerFactory):
    class Meta:
        registry = None
        sqlalchemy_session_persistence = None


class KnownOwnerFactory(OwnerFactory):
    class Meta:
        registry = None
        sqlalchemy_get_or_create = ("name",)


class KnownNickFactory(OwnerFactory):
    class Meta:
        registry = None
        sqlalchemy_get_or_create = ("name", "nick")


def factory_app() -> Flask:
    """An application with these models and factories, and the commands of the testbed."""
    app = adopted_app("toy_factories", db)
    factories.init_app(app, db)
    return app
