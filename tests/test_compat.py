"""The private names of other libraries are there, and mean what the engine takes them for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import factory
import psycopg
import pytest
import sqlalchemy as sa
from factory.alchemy import SQLAlchemyModelFactory, SQLAlchemyOptions
from flask import Flask, current_app
from psycopg.pq import Format
from sqlalchemy import event
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from flask_testbed import _compat
from flask_testbed.factories.base import BaseFactory
from flask_testbed.factories.bulk.needs_objects import METHODS
from flask_testbed.factories.options import FactoryOptions

# Werkzeug


def test_the_object_behind_a_proxy() -> None:
    app = Flask("toy")
    with app.app_context():
        assert _compat.unproxied(current_app) is app


# factory_boy


class CountingFactory(factory.Factory):  # type: ignore[misc]  # factory_boy is Any to mypy
    class Meta:
        model = dict

    number = factory.Sequence(int)


def overridden(ours: type, theirs: type) -> Iterator[str]:
    own = {name for name in vars(ours) if name.startswith("_") and not name.startswith("__")}
    return (name for name in own if not hasattr(theirs, name))


def test_the_methods_that_are_overridden_are_factory_boys() -> None:
    assert list(overridden(BaseFactory, SQLAlchemyModelFactory)) == []
    assert set(overridden(FactoryOptions, SQLAlchemyOptions)) <= {"_restart_iterators"}
    assert [name for name in METHODS if not hasattr(SQLAlchemyModelFactory, name)] == []


def test_the_arguments_of_a_declaration() -> None:
    assert _compat.defaults_of(factory.SubFactory(CountingFactory, number=3)) == {"number": 3}
    assert _compat.defaults_of(factory.Faker("name"))["locale"] is None


def test_the_default_of_an_attribute() -> None:
    assert not _compat.has_default(factory.SelfAttribute("name"))
    assert _compat.has_default(factory.SelfAttribute("name", default=None))


def test_the_faker_of_a_locale() -> None:
    faker = _compat.faker_of("de_DE")

    assert faker.locales == ["de_DE"]
    assert _compat.faker_of("de_DE") is faker
    assert _compat.faker_of(None).random is not None


def test_the_numbers_of_a_sequence() -> None:
    CountingFactory.reset_sequence(5)

    assert list(_compat.take_sequence_numbers(CountingFactory._meta, 3)) == [5, 6, 7]
    assert CountingFactory() == {"number": 8}


# psycopg, for binary COPY


@pytest.mark.parametrize("value", [[], [7], [1, None, 3], [[1, 2, 3], [4, 5, 6]]])
def test_the_dumper_of_arrays(value: list[Any]) -> None:
    types = psycopg.adapters.types
    number = psycopg.adapters.get_dumper_by_oid(types["int4"].oid, Format.BINARY)(int)

    made = _compat.array_dumper(types["int4"].oid, number.dump).dump(value)

    context = psycopg.adapt.Transformer()
    theirs = psycopg.adapters.get_dumper_by_oid(types["int4"].array_oid, Format.BINARY)
    assert made == theirs(list, context).dump(value)
    loader = context.get_loader(types["int4"].array_oid, Format.BINARY)
    assert loader.load(made) == value


# SQLAlchemy's models, for rows in bulk


class Base(DeclarativeBase):
    pass


class Parent(Base):
    __tablename__ = "compat_parents"

    id: Mapped[int] = mapped_column(primary_key=True)
    children: Mapped[list[Child]] = relationship(back_populates="parent")


class Child(Base):
    __tablename__ = "compat_children"

    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int] = mapped_column(sa.ForeignKey("compat_parents.id"))
    parent: Mapped[Parent] = relationship(back_populates="children")

    def __init__(self) -> None:
        self.parent_id = 1


class Shouted(sa.types.TypeDecorator[str]):
    impl = sa.Text
    cache_ok = True

    def bind_expression(self, bindparam: Any) -> Any:
        return sa.func.upper(bindparam)


def test_the_relationships_that_mirror_one() -> None:
    parent = sa.inspect(Child).relationships["parent"]

    assert [one.key for one in _compat.reverse_relationships(parent)] == ["children"]


def test_a_constructor_of_the_models_own() -> None:
    assert _compat.has_own_init(sa.inspect(Child))
    assert not _compat.has_own_init(sa.inspect(Parent))


def test_listeners() -> None:
    mapper = sa.inspect(Parent)
    assert not _compat.has_listener(mapper, "before_insert")
    assert not _compat.has_listener(Parent.id, "set")

    event.listen(Parent, "before_insert", print)
    event.listen(Parent.id, "set", print)

    assert _compat.has_listener(mapper, "before_insert")
    assert _compat.has_listener(Parent.id, "set")


def test_types_that_write_by_an_expression() -> None:
    assert _compat.has_bind_expression(Shouted())
    assert not _compat.has_bind_expression(sa.Text())
