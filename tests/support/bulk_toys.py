"""Toy models and factories for the tests of bulk creation, with whatever may be hard about them."""

from __future__ import annotations

import enum
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Generic, TypeVar

import factory
import sqlalchemy as sa
from factory import fuzzy
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from flask_testbed.factories import After, Ago, BaseFactory, Factories, RelatedBatch
from flask_testbed.randomness import generator
from tests.support.toys import adopted_app

M = TypeVar("M")


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class Mood(enum.Enum):
    CALM = "calm"
    WILD = "wild"


class Port(db.Model):
    __tablename__ = "bulk_ports"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    name: Mapped[str] = mapped_column(sa.String(60), unique=True)
    depth: Mapped[int] = mapped_column(default=7)
    ships: Mapped[list[Ship]] = relationship(back_populates="port")


class Ship(db.Model):
    __tablename__ = "bulk_ships"
    __table_args__ = (sa.CheckConstraint("crew >= 0", name="crew_range"),)

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(60))
    crew: Mapped[int] = mapped_column(default=3)
    flag: Mapped[str] = mapped_column(server_default="black")
    shout: Mapped[str] = mapped_column(sa.Computed("upper(name)", persisted=True))
    port_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("bulk_ports.id"))
    sister_id: Mapped[int | None] = mapped_column(sa.ForeignKey("bulk_ships.id"))
    port: Mapped[Port | None] = relationship(back_populates="ships")
    sister: Mapped[Ship | None] = relationship(remote_side=id)
    sailors: Mapped[list[Sailor]] = relationship(back_populates="ship")


class Sailor(db.Model):
    __tablename__ = "bulk_sailors"
    __table_args__ = (sa.UniqueConstraint("ship_id", "rank"),)

    id: Mapped[int] = mapped_column(sa.Identity(always=True), primary_key=True)
    name: Mapped[str]
    rank: Mapped[int]
    joined: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    left: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    ship_id: Mapped[int] = mapped_column(sa.ForeignKey("bulk_ships.id"))
    ship: Mapped[Ship] = relationship(back_populates="sailors")


class Cargo(db.Model):
    """A column of each type."""

    __tablename__ = "bulk_cargo"

    id: Mapped[int] = mapped_column(primary_key=True)
    mood: Mapped[Mood]
    text_mood: Mapped[Mood] = mapped_column(sa.Enum(Mood, native_enum=False))
    small: Mapped[int] = mapped_column(sa.SmallInteger)
    big: Mapped[int] = mapped_column(sa.BigInteger)
    real: Mapped[float] = mapped_column(sa.REAL)
    double: Mapped[float] = mapped_column(sa.Double)
    price: Mapped[Decimal] = mapped_column(sa.Numeric(12, 3))
    fresh: Mapped[bool]
    raw: Mapped[bytes]
    day: Mapped[date]
    hour: Mapped[time]
    span: Mapped[timedelta]
    naive: Mapped[datetime] = mapped_column(sa.DateTime)
    aware: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    tags: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    grid: Mapped[list[list[int]]] = mapped_column(ARRAY(sa.Integer, dimensions=2))
    moods: Mapped[list[Mood]] = mapped_column(ARRAY(sa.Enum(Mood)))
    document: Mapped[Any] = mapped_column(JSONB)
    plain: Mapped[Any] = mapped_column(sa.JSON, nullable=True)
    strict: Mapped[Any] = mapped_column(JSONB(none_as_null=True), nullable=True)
    fixed: Mapped[str] = mapped_column(sa.CHAR(5))
    note: Mapped[str | None]


class Visit(db.Model):
    """A composite key, of which a part is a foreign key."""

    __tablename__ = "bulk_visits"

    port_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("bulk_ports.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    port: Mapped[Port] = relationship()


factories = Factories()


class ToyFactory(BaseFactory[M], Generic[M]):
    class Meta:
        abstract = True
        registry = factories


class PortFactory(ToyFactory[Port]):
    class Params:
        deep = factory.Trait(depth=40)

    name = factory.Sequence("Port {}".format)


class ShipFactory(ToyFactory[Ship]):
    class Params:
        crowded = factory.Trait(crew=500, port=None)
        sisterly = factory.Trait(sister=factory.SubFactory(f"{__name__}.ShipFactory"))

    name = factory.Faker("first_name")
    crew = fuzzy.FuzzyInteger(1, 9)
    port = factory.SubFactory(PortFactory)

    with_sailors = RelatedBatch(f"{__name__}.SailorFactory", "ship")


def next_rank(sailor: Any) -> int:
    return max((other.rank for other in sailor.ship.sailors), default=0) + 1


class SailorFactory(ToyFactory[Sailor]):
    name = factory.Faker("last_name")
    rank = factory.LazyAttribute(next_rank)
    joined = Ago(timedelta(days=1), timedelta(days=9))
    left = After("joined", timedelta(hours=1), timedelta(hours=9))
    ship = factory.SubFactory(ShipFactory)


class CargoFactory(ToyFactory[Cargo]):
    mood = fuzzy.FuzzyChoice(Mood)
    text_mood = factory.Iterator(Mood)
    small = fuzzy.FuzzyInteger(-5, 5)
    big = factory.Sequence(lambda n: 2**40 + n)
    real = 0.5
    double = fuzzy.FuzzyFloat(0, 1)
    price = fuzzy.FuzzyDecimal(1, 900, precision=3)
    fresh = factory.Iterator([True, False])
    raw = factory.LazyFunction(lambda: generator().randbytes(5))
    day = fuzzy.FuzzyDate(date(1900, 1, 1), date(2100, 1, 1))
    hour = time(13, 30, 15, 5)
    span = timedelta(days=-3, microseconds=7)
    naive = datetime(1999, 12, 31, 23, 59, 59)
    aware = fuzzy.FuzzyDateTime(datetime(1990, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))
    tags = factory.List(["a", factory.Sequence("tag {}".format)])
    grid = factory.LazyFunction(lambda: [[1, 2, 3], [4, 5, 6]])
    moods = factory.LazyFunction(lambda: [Mood.WILD, Mood.CALM])
    document = factory.Dict({"n": factory.Sequence(int), "tags": factory.SelfAttribute("..tags")})
    plain = None
    strict = None
    fixed = "ab"
    note = factory.Maybe("fresh", "new", None)


class VisitFactory(ToyFactory[Visit]):
    port = factory.SubFactory(PortFactory)
    number = factory.Sequence(int)


def bulk_app() -> Flask:
    """An application with these models and factories."""
    app = adopted_app("toy_bulk", db)
    factories.init_app(app, db)
    return app


def everything(model: Any, *order: Any) -> list[Any]:
    """All rows as another session sees them: what is committed."""
    with Session(db.engine) as session:
        return list(session.scalars(sa.select(model).order_by(*order or model.__table__.c)))


def values(model: Any) -> list[tuple[Any, ...]]:
    with db.engine.connect() as connection:
        table = model.__table__
        return [tuple(row) for row in connection.execute(sa.select(table).order_by(table.c.id))]
