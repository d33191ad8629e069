"""Toy factories of which each is wrong in one way, for the tests of ``factories lint``."""

from __future__ import annotations

import uuid
from decimal import Decimal
from enum import Enum
from typing import Any, Generic, TypeVar

import factory
import sqlalchemy as sa
from factory.fuzzy import FuzzyInteger
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from flask_testbed.factories import BaseFactory, Factories, KeyOf
from flask_testbed.factories.lint import Fault, lint
from tests.support.toys import adopted_app

M = TypeVar("M")


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Parent(db.Model):
    __tablename__ = "lint_parents"

    id: Mapped[int] = mapped_column(primary_key=True)


class Thing(db.Model):
    __tablename__ = "lint_things"
    __table_args__ = (
        sa.CheckConstraint("rating BETWEEN 1 AND 5", name="rating_range"),
        sa.UniqueConstraint("shelf", "place", name="one_in_a_place"),
        sa.Index("one_mail", sa.text("lower(mail)"), unique=True),
        sa.ForeignKeyConstraint(
            ["late_id"], ["lint_parents.id"], name="late", deferrable=True, initially="DEFERRED"
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(10))
    rating: Mapped[int | None]
    price: Mapped[Decimal | None] = mapped_column(sa.Numeric(5, 2))
    small: Mapped[int | None] = mapped_column(sa.SmallInteger)
    size: Mapped[Size | None] = mapped_column(
        sa.Enum(Size, native_enum=False, create_constraint=True, name="size")
    )
    shelf: Mapped[int | None]
    place: Mapped[int | None]
    mail: Mapped[str | None]
    key: Mapped[uuid.UUID | None] = mapped_column(sa.Uuid)
    parent_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("lint_parents.id", name="of_the_parent")
    )
    late_id: Mapped[int | None]
    state: Mapped[str] = mapped_column(default="new")
    made: Mapped[str] = mapped_column(server_default=sa.func.now())
    doubled: Mapped[int] = mapped_column(sa.Computed("id * 2", persisted=True))

    parent: Mapped[Parent | None] = relationship(foreign_keys=[parent_id])


class Orphan(db.Model):
    """A model without a factory."""

    __tablename__ = "lint_orphans"

    id: Mapped[int] = mapped_column(primary_key=True)


factories = Factories()


class ToyFactory(BaseFactory[M], Generic[M]):
    class Meta:
        abstract = True
        registry = factories


# Right


class ParentFactory(ToyFactory[Parent]):
    pass


class ThingFactory(ToyFactory[Thing]):
    """Nothing is wrong with it."""

    class Params:
        rated = factory.Trait(rating=5)
        parented = factory.Trait(parent=factory.SubFactory(ParentFactory))

    name = "lamp"


class Committing(ThingFactory):
    @factory.post_generation
    def commit(thing: Thing, create: bool, value: Any, **_: Any) -> None:
        if create:
            db.session.commit()


numbers: list[int] = []


class Counting(ThingFactory):
    """Its rows are numbered by a query, which must see the rows before."""

    @factory.lazy_attribute
    def place(thing: Any) -> int:
        number = db.session.scalar(sa.select(sa.func.count()).select_from(Thing)) or 0
        numbers.append(number)
        return number


# Wrong at once


class TooLong(ThingFactory):
    name = "a lamp that is much too long"


class TooMuch(ThingFactory):
    price = Decimal("1000.00")


class TooLarge(ThingFactory):
    small = 40_000


class NoSuchSize(ThingFactory):
    size = "tiny"


class OutOfRange(ThingFactory):
    rating = 6


class Nameless(ThingFactory):
    name = None


class TwoInAPlace(ThingFactory):
    shelf = 1
    place = 1


class SameMail(ThingFactory):
    mail = factory.Iterator(["A@example.com", "a@example.com"])


class NoParent(ThingFactory):
    parent_id = 77


class NoParentInTheEnd(ThingFactory):
    late_id = 77


class NoUuid(ThingFactory):
    key = "no-uuid"


class NotAdaptable(ThingFactory):
    name = factory.LazyFunction(object)


class NoSuchAttribute(ThingFactory):
    colour = "red"


class Raising(ThingFactory):
    name = factory.LazyFunction(lambda: 1 / 0)


class NotBuilt(ThingFactory):
    """The parent has no key unless it is written."""

    mail = factory.LazyAttribute(lambda thing: f"{thing.owner.id:d}@example.com")

    class Params:
        owner = factory.SubFactory(ParentFactory)


class WrongTrait(ThingFactory):
    class Params:
        overrated = factory.Trait(rating=6)
        orphaned = factory.Trait(parent_id=77)


class ByKey(ThingFactory):
    """Its parent's key must be there when the row is made."""

    parent_id = KeyOf(ParentFactory)
    mail = factory.LazyAttribute(lambda thing: f"{thing.parent_id:d}@example.com")


class AtRandom(ThingFactory):
    rating = FuzzyInteger(0, 9)


# Wrong now and then


class OneOfMany(ThingFactory):
    """Only the samples are many enough: one row is refused."""

    rating = factory.Sequence(lambda number: 0 if number == 177 else 1)


class NowAndThenTheSame(ThingFactory):
    """Only the samples are many enough: the 161st is the first again."""

    shelf = 1
    place = factory.Sequence(lambda number: number % 160)


class UnregisteredFactory(ThingFactory):
    """Wrong, but of no registry."""

    class Meta:
        registry = None

    rating = 6


CLEAN = ["ParentFactory", "ThingFactory", "Committing", "Counting"]
ONLY_IN_SAMPLES = ["OneOfMany", "NowAndThenTheSame"]


def lint_app() -> Flask:
    """An application with these models and factories, and the commands of the testbed."""
    app = adopted_app("toy_lint", db)
    factories.init_app(app, db)
    return app


def faults(app: Flask, *names: str, samples: int = 0, **options: Any) -> list[Fault]:
    """The faults of some factories."""
    return list(lint(app, names, samples=samples, **options).faults)
