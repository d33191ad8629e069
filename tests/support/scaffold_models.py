"""Models of many kinds without factories, which scaffold writes factories for."""

from __future__ import annotations

import enum
import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    attribute_keyed_dict,
    mapped_column,
    relationship,
)


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class LevelType(sa.types.TypeDecorator[Level]):
    """An enumeration that is stored as a number."""

    impl = sa.SmallInteger
    cache_ok = True

    def __init__(self, members: type[Level]) -> None:
        super().__init__()
        self.members = members

    def process_bind_param(self, value: Level | None, dialect: sa.Dialect) -> int | None:
        return None if value is None else self.members(value).value

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> Level | None:
        return None if value is None else self.members(value)


class Semicolons(sa.types.TypeDecorator[list[str]]):
    """A list that is stored as text."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: list[str] | None, dialect: sa.Dialect) -> str | None:
        if value is not None and not isinstance(value, list):
            raise TypeError(f"{value!r} is no list")
        return None if value is None else ";".join(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> list[str] | None:
        return None if value is None else value.split(";") if value else []


class Country(db.Model):
    """The primary key has so few values that they repeat."""

    __tablename__ = "countries"

    code: Mapped[str] = mapped_column(sa.CHAR(2), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(30))


class Person(db.Model):
    """It has texts of all lengths, unique texts, and a parent whose key has few values."""

    __tablename__ = "people"
    __table_args__ = (
        sa.Index("one_login", sa.text("lower(login)"), unique=True),
        sa.CheckConstraint("length(trim(nick)) > 0", name="nick_not_blank"),
        sa.CheckConstraint("slug ~ '^[a-z0-9]+$'", name="slug_is_one"),
        sa.CheckConstraint("plate ~ '^[A-Z]{2}-[0-9]{3}$'", name="plate_is_one"),
        sa.CheckConstraint("char_length(secret) >= 30", name="secret_is_long"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(sa.String(120), unique=True)
    login: Mapped[str] = mapped_column(sa.String(20))
    first_name: Mapped[str] = mapped_column(sa.String(8))
    nick: Mapped[str] = mapped_column(sa.String(3))
    slug: Mapped[str] = mapped_column(sa.String(40), unique=True)
    plate: Mapped[str]
    secret: Mapped[str] = mapped_column(sa.String(64))
    initial: Mapped[str] = mapped_column(sa.String(1))
    badge: Mapped[str] = mapped_column(sa.String(6), unique=True)
    biography: Mapped[str | None]
    country_code: Mapped[str] = mapped_column(sa.ForeignKey("countries.code"))
    country: Mapped[Country] = relationship()


class Everything(db.Model):
    """It has a required column of each type."""

    __tablename__ = "everything"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    text_key: Mapped[str] = mapped_column(sa.Uuid(as_uuid=False))
    whole: Mapped[int]
    small: Mapped[int] = mapped_column(sa.SmallInteger)
    big: Mapped[int] = mapped_column(sa.BigInteger)
    price: Mapped[Decimal] = mapped_column(sa.Numeric(4, 2))
    fraction: Mapped[Decimal] = mapped_column(sa.Numeric(3, 3))
    any_number: Mapped[Decimal] = mapped_column(sa.Numeric)
    real: Mapped[float]
    flag: Mapped[bool]
    day: Mapped[date]
    aware: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    naive: Mapped[datetime]
    clock: Mapped[time]
    span: Mapped[timedelta]
    blob: Mapped[bytes]
    document: Mapped[dict[str, Any]] = mapped_column(pg.JSONB)
    words: Mapped[list[str]] = mapped_column(pg.ARRAY(sa.String(5)))
    colour: Mapped[Colour]
    plain_colour: Mapped[str] = mapped_column(sa.Enum("red", "blue", name="plain_colour"))
    level: Mapped[Level] = mapped_column(LevelType(Level))
    listed: Mapped[list[str]] = mapped_column(Semicolons)
    address: Mapped[str] = mapped_column(pg.INET)
    network: Mapped[str] = mapped_column(pg.CIDR)
    hardware: Mapped[str] = mapped_column(pg.MACADDR)
    ages: Mapped[Any] = mapped_column(pg.INT4RANGE)
    stay: Mapped[Any] = mapped_column(pg.DATERANGE)
    busy: Mapped[Any] = mapped_column(pg.TSTZRANGE)
    tags: Mapped[dict[str, str]] = mapped_column(sa.JSON)
    bits: Mapped[str] = mapped_column(pg.BIT(3))
    twice: Mapped[int] = mapped_column(sa.Computed("whole * 2", persisted=True))
    counted: Mapped[int] = mapped_column(sa.Identity())
    defaulted: Mapped[str] = mapped_column(server_default="x")


class Measure(db.Model):
    """Constraints limit its columns, one by one and together."""

    __tablename__ = "measures"
    __table_args__ = (
        sa.CheckConstraint("positive > 0", name="positive"),
        sa.CheckConstraint("percentage BETWEEN 0 AND 100", name="percentage"),
        sa.CheckConstraint("-5 <= cold AND cold < 0", name="cold"),
        sa.CheckConstraint("grade IN ('a', 'b', 'c')", name="grade"),
        sa.CheckConstraint("ratio >= 0.5 AND ratio <= 0.75", name="ratio"),
        sa.CheckConstraint("largest >= smallest", name="in_order"),
        sa.CheckConstraint("ended_on > started_on", name="ends_later"),
        sa.CheckConstraint("parts + rest = 10", name="ten_in_all"),
        sa.CheckConstraint("jsonb_typeof(items) = 'array'", name="items_are_listed"),
        sa.CheckConstraint("cardinality(points) >= 2", name="two_points"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    positive: Mapped[int]
    percentage: Mapped[int] = mapped_column(sa.SmallInteger)
    cold: Mapped[int]
    grade: Mapped[str] = mapped_column(sa.String(1))
    ratio: Mapped[Decimal] = mapped_column(sa.Numeric(5, 4))
    smallest: Mapped[int]
    largest: Mapped[int]
    started_on: Mapped[date]
    ended_on: Mapped[date]
    parts: Mapped[int]
    rest: Mapped[int]
    items: Mapped[list[Any]] = mapped_column(pg.JSONB)
    points: Mapped[list[int]] = mapped_column(pg.ARRAY(sa.Integer))


class Payment(db.Model):
    """Constraints relate its optional columns to each other."""

    __tablename__ = "payments"
    __table_args__ = (
        sa.CheckConstraint("num_nonnulls(card, iban) = 1", name="one_way"),
        sa.CheckConstraint("(status = 'paid') = (paid_at IS NOT NULL)", name="paid_when"),
        sa.CheckConstraint("paid_at >= made_at", name="paid_later"),
        sa.CheckConstraint("note IS NULL OR status = 'refused'", name="note_of_refusal"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(
        sa.Enum("open", "paid", "refused", name="payment_status"), default="open"
    )
    made_at: Mapped[datetime] = mapped_column(
        sa.DateTime(timezone=True), server_default=sa.func.now()
    )
    paid_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    card: Mapped[str | None] = mapped_column(sa.String(20))
    iban: Mapped[str | None] = mapped_column(sa.String(34))
    note: Mapped[str | None]


class Category(db.Model):
    """A tree whose root has no parent."""

    __tablename__ = "categories"

    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(sa.ForeignKey("categories.id"))
    parent: Mapped[Category | None] = relationship(remote_side=[id])


class Node(db.Model):
    """A tree whose root is its own parent."""

    __tablename__ = "nodes"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    parent_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("nodes.id"))


class Tenant(db.Model):
    __tablename__ = "tenants"

    id: Mapped[int] = mapped_column(primary_key=True)


class Site(db.Model):
    """The primary key has two columns, one of which is a foreign key."""

    __tablename__ = "sites"

    tenant_id: Mapped[int] = mapped_column(sa.ForeignKey("tenants.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[Tenant] = relationship()


class Account(db.Model):
    __tablename__ = "accounts"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(sa.ForeignKey("tenants.id"))
    tenant: Mapped[Tenant] = relationship()


class Visit(db.Model):
    """Its two parents must have the same tenant."""

    __tablename__ = "visits"
    __table_args__ = (
        sa.ForeignKeyConstraint(["tenant_id", "site"], ["sites.tenant_id", "sites.number"]),
        sa.ForeignKeyConstraint(["tenant_id", "account"], ["accounts.tenant_id", "accounts.id"]),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int]
    site: Mapped[int]
    account: Mapped[int]
    the_site: Mapped[Site] = relationship(overlaps="the_account")
    the_account: Mapped[Account] = relationship(overlaps="the_site")


class Membership(db.Model):
    """Two foreign keys without relationships are its primary key."""

    __tablename__ = "memberships"

    person_id: Mapped[int] = mapped_column(sa.ForeignKey("people.id"), primary_key=True)
    category_id: Mapped[int] = mapped_column(sa.ForeignKey("categories.id"), primary_key=True)


friends = sa.Table(
    "friends",
    Base.metadata,
    sa.Column("one_id", sa.ForeignKey("people.id"), primary_key=True),
    sa.Column("other_id", sa.ForeignKey("people.id"), primary_key=True),
)


class Animal(db.Model):
    """The base class of joined and single table inheritance, without an identity of its own."""

    __tablename__ = "animals"
    __mapper_args__ = {"polymorphic_on": "kind"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(10))
    name: Mapped[str]


class Cat(Animal):
    __tablename__ = "cats"
    __mapper_args__ = {"polymorphic_identity": "cat"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(sa.ForeignKey("animals.id"), primary_key=True)
    lives: Mapped[int]


class Dog(Animal):
    __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012

    bark: Mapped[str | None]


class Vet(db.Model):
    """Its parent may be any animal."""

    __tablename__ = "vets"

    id: Mapped[int] = mapped_column(primary_key=True)
    patient_id: Mapped[int] = mapped_column(sa.ForeignKey("animals.id"), unique=True)
    patient: Mapped[Animal] = relationship()


class Awkward(db.Model):
    """Its attributes have names that factories or their modules use."""

    __tablename__ = "awkward"

    id: Mapped[int] = mapped_column(primary_key=True)
    create: Mapped[str]
    factory: Mapped[str]
    timedelta: Mapped[timedelta]
    two__parts: Mapped[str]
    _hidden: Mapped[str]
    full: Mapped[str | None]


class Token(db.Model):
    """It is called like a declaration, and its constructor takes only some of its columns."""

    __tablename__ = "tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(sa.String(64), unique=True)
    used: Mapped[bool] = mapped_column(default=False)

    def __init__(self, value: str) -> None:
        self.value = value


class Hen(db.Model):
    """It refers to an egg, which refers to a hen. One of the two may be missing."""

    __tablename__ = "hens"

    id: Mapped[int] = mapped_column(primary_key=True)
    egg_id: Mapped[int | None] = mapped_column(sa.ForeignKey("eggs.id"))
    egg: Mapped[Egg | None] = relationship(foreign_keys=[egg_id], post_update=True)


class Egg(db.Model):
    __tablename__ = "eggs"

    id: Mapped[int] = mapped_column(primary_key=True)
    hen_id: Mapped[int] = mapped_column(sa.ForeignKey("hens.id"))
    hen: Mapped[Hen] = relationship(foreign_keys=[hen_id])


class Booking(db.Model):
    """Its ranges must not overlap."""

    __tablename__ = "bookings"
    __table_args__ = (pg.ExcludeConstraint(("during", "&&"), using="gist"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    during: Mapped[Any] = mapped_column(pg.TSTZRANGE)


class Shelf(db.Model):
    """Its labels are a dictionary."""

    __tablename__ = "shelves"

    id: Mapped[int] = mapped_column(primary_key=True)
    labels: Mapped[dict[str, Label]] = relationship(
        back_populates="shelf", collection_class=attribute_keyed_dict("word")
    )


class Label(db.Model):
    __tablename__ = "labels"

    shelf_id: Mapped[int] = mapped_column(sa.ForeignKey("shelves.id"), primary_key=True)
    word: Mapped[str] = mapped_column(primary_key=True)
    shelf: Mapped[Shelf] = relationship(back_populates="labels")
