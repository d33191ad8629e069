"""Toy models, factories and a scenario, for the tests of seeds."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, Generic, TypeVar

import factory
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from flask_testbed.factories import Ago, BaseFactory, Factories, Uuid
from flask_testbed.seeds import Seed, playing
from flask_testbed.seeds.playing import SeedReport
from flask_testbed.seeds.scenarios import Scenario, Scenarios
from tests.support.toys import adopted_app

M = TypeVar("M")
DAY = date(2026, 1, 31)


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class Shelf(db.Model):
    __tablename__ = "toy_shelves"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    name: Mapped[str]
    made_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class Book(db.Model):
    __tablename__ = "toy_books"
    # Checked at the commit, and not before.
    __table_args__ = (
        sa.ForeignKeyConstraint(
            ["shelf_id"], ["toy_shelves.id"], deferrable=True, initially="DEFERRED"
        ),
    )

    id: Mapped[Any] = mapped_column(sa.Uuid, primary_key=True)
    title: Mapped[str] = mapped_column(unique=True)
    shelf_id: Mapped[int | None]
    sequel_id: Mapped[Any | None] = mapped_column(sa.ForeignKey("toy_books.id"))
    shelf: Mapped[Shelf | None] = relationship()
    sequel: Mapped[Book | None] = relationship(remote_side=id)


class Genre(db.Model):
    """Holds rows that no scenario makes."""

    __tablename__ = "toy_genres"

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)


@sa.event.listens_for(db.metadata, "after_create")
def _create_a_table_without_a_model(_: sa.MetaData, connection: sa.Connection, **__: Any) -> None:
    connection.execute(sa.text("CREATE TABLE toy_bystanders AS SELECT 1 AS id"))


factories = Factories()


class ToyFactory(BaseFactory[M], Generic[M]):
    class Meta:
        abstract = True
        registry = factories


class ShelfFactory(ToyFactory[Shelf]):
    name = factory.Faker("color_name")
    made_at = Ago(timedelta(hours=1), timedelta(days=3))


class BookFactory(ToyFactory[Book]):
    id = Uuid()
    title = factory.Sequence("Book {}".format)
    shelf = factory.SubFactory(ShelfFactory)


scenarios = Scenarios()


@scenarios.add("library", fills=[Shelf, Book])
def library(seed: Seed) -> None:
    """A shelf, and books on it.

    And so on.
    """
    shelf = ShelfFactory(name=seed.random.choice("abcdefghij"))
    for number in seed.progress(range(2 * seed.scale), "Books"):
        BookFactory(shelf=shelf, title=f"{seed.random.random()} {number}")


LIBRARY = scenarios["library"]


def seed_app() -> Flask:
    """An application with these models, the scenario and the commands of the testbed."""
    app = adopted_app("toy_seeds", db)
    factories.init_app(app, db)
    scenarios.init_app(app)
    return app


def play(app: Flask, scenario: Any = LIBRARY, **options: Any) -> SeedReport:
    """Play a scenario, or a function as if it were one, as of that day."""
    if not isinstance(scenario, Scenario):
        scenario = Scenario("test", scenario, (Shelf, Book))
    return playing.play(app, db, scenario, **{"as_of": DAY, **options})


def everything() -> list[tuple[Any, ...]]:
    """All rows, as another session sees them."""
    with Session(db.engine) as session:
        return [
            tuple(row)
            for model in (Shelf, Book)
            for row in session.execute(sa.select(*model.__table__.columns))
        ]


def next_id() -> int:
    """The number that the sequence of shelves gives next."""
    with db.engine.connect() as connection:
        return connection.scalar(sa.text("SELECT nextval('toy_shelves_id_seq')"))
