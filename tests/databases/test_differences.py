"""Where models, migrations and factories disagree: found by PostgreSQL, said in words."""

from __future__ import annotations

import json
from pathlib import Path

import flask_migrate
import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_testbed.factories import BaseFactory, Factories
from tests.support.migrations import write_migrations
from tests.support.servers import Stock
from tests.support.toys import Toys

HEAD = """
    import sqlalchemy as sa
    from alembic import op

    revision = "1"
    down_revision = None

    def upgrade():
"""

SAME = """
        op.create_table(
            "pet",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("name", sa.String(40), nullable=False),
            sa.Column("age", sa.Integer, server_default="1"),
            sa.Column("kind", sa.Enum("cat", "dog", name="kind"), nullable=False),
            sa.UniqueConstraint("name", name="uq_pet_name"),
            sa.CheckConstraint("age > 0", name="ck_pet_age"),
        )
        op.create_index("ix_pet_age", "pet", ["age"])
"""


def pets() -> SQLAlchemy:
    class Base(DeclarativeBase):
        pass

    class Pet(Base):
        __tablename__ = "pet"
        __table_args__ = (
            sa.UniqueConstraint("name", name="uq_pet_name"),
            sa.CheckConstraint("age > 0", name="ck_pet_age"),
            sa.Index("ix_pet_age", "age"),
        )
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(sa.String(40))
        age: Mapped[int | None] = mapped_column(server_default="1")
        kind: Mapped[str] = mapped_column(sa.Enum("cat", "dog", name="kind"))

    return SQLAlchemy(model_class=Base)


def shop(stock: Stock, toys: Toys, folder: Path, body: str = SAME) -> Flask:
    """An application with pets, whose migration makes something else of them."""
    write_migrations(folder / "migrations", HEAD + body)
    app = toys.app(stock.url("own"), pets())
    flask_migrate.Migrate(app, app.extensions["sqlalchemy"], directory=str(folder / "migrations"))
    return app


def test_they_agree(stock: Stock, toys: Toys, tmp_path: Path) -> None:
    before = stock.databases()

    outcome = toys.run(shop(stock, toys, tmp_path), "test-db", "check")

    assert outcome.status == 0, outcome.text
    assert outcome.out.splitlines() == [
        "Compared the migrations and the models with 0 factories on 1 tables.",
        "They agree.",
    ]
    assert stock.databases() == before


DISAGREE = [
    (
        '"name", sa.String(40), nullable=False',
        '"name", sa.String(40)',
        "column pet.name: the model says NOT NULL, the migrations allow NULL",
    ),
    (
        "sa.String(40)",
        "sa.Text",
        "column pet.name: the model says character varying(40), the migrations say text",
    ),
    (
        ', server_default="1"',
        "",
        "column pet.age: the model says DEFAULT 1, the migrations have no default",
    ),
    (
        'sa.Column("age"',
        'sa.Column("weight", sa.Integer), sa.Column("age"',
        "column pet.weight: the migrations make it, the models do not have it",
    ),
    (
        'sa.Column("name", sa.String(40), nullable=False),',
        "",
        "column pet.name: the models have it, the migrations do not make it",
    ),
    (
        'name="uq_pet_name"',
        'name="pet_name_key"',
        "constraint uq_pet_name of pet: the migrations call it pet_name_key; it is UNIQUE (name)",
    ),
    (
        '"age > 0"',
        '"age > 1"',
        "constraint ck_pet_age of pet: the models say CHECK ((age > 0)), the migrations say "
        "CHECK ((age > 1))",
    ),
    (
        '["age"])',
        '["age"], unique=True)',
        "index ix_pet_age of pet: the models say CREATE INDEX ON public.pet USING btree "
        "(age), the migrations say CREATE UNIQUE INDEX ON public.pet USING btree (age)",
    ),
    (
        'op.create_index("ix_pet_age", "pet", ["age"])',
        "pass",
        "index ix_pet_age of pet: the models have it (CREATE INDEX ON public.pet USING btree "
        "(age)), the migrations do not make it",
    ),
    (
        '"cat", "dog"',
        '"cat", "dog", "cow"',
        "enum kind: the models say cat, dog, the migrations say cat, dog, cow",
    ),
    (
        '"pet",\n',
        '"dog",\n',
        "table pet: the models have it, the migrations do not make it",
    ),
    (
        "op.create_index",
        'op.create_table("shelf"); op.create_index',
        "table shelf: the migrations make it, the models do not have it",
    ),
]


@pytest.mark.parametrize(("old", "new", "says"), DISAGREE)
def test_they_disagree(
    stock: Stock, toys: Toys, tmp_path: Path, old: str, new: str, says: str
) -> None:
    assert old in SAME
    body = SAME.replace(old, new)
    if new == '"dog",\n':
        body = body.replace('"ix_pet_age", "pet"', '"ix_pet_age", "dog"')
    if "pet.name: the models have it" in says:
        body = body.replace('sa.UniqueConstraint("name", name="uq_pet_name"),', "")
    app = shop(stock, toys, tmp_path, body)

    outcome = toys.run(app, "test-db", "check")
    as_json = toys.run(app, "test-db", "check", "--json")

    assert outcome.status == as_json.status == 1, outcome.text
    assert says in outcome.out.splitlines()
    assert outcome.out.splitlines()[-1] == "They disagree."
    said = json.loads(as_json.out)["differences"]
    assert any(says.endswith(one["says"]) for one in said)


def test_a_difference_is_said_once(stock: Stock, toys: Toys, tmp_path: Path) -> None:
    app = shop(stock, toys, tmp_path, SAME.replace("sa.String(40)", "sa.Text"))

    assert len(json.loads(toys.run(app, "test-db", "check", "--json").out)["differences"]) == 1


def test_tables_that_are_nobodys_business(stock: Stock, toys: Toys, tmp_path: Path) -> None:
    app = shop(stock, toys, tmp_path, SAME + '        op.create_table("audit_pet")\n')
    assert toys.run(app, "test-db", "check").status == 1

    outcome = toys.run(app, "test-db", "check", "--ignore", "audit_*")

    assert outcome.status == 0, outcome.text


def test_models_may_need_what_migrations_install(stock: Stock, toys: Toys, tmp_path: Path) -> None:
    extension = '        op.execute("CREATE EXTENSION citext")\n'
    app = shop(stock, toys, tmp_path, extension + SAME.replace("sa.String(40)", "sa.Text"))
    app.extensions["sqlalchemy"].metadata.tables["pet"].c[
        "name"
    ].type = sa.dialects.postgresql.CITEXT()

    outcome = toys.run(app, "test-db", "check")

    assert "column pet.name: the model says citext, the migrations say text" in outcome.out


def test_a_factory_whose_model_has_no_table(stock: Stock, toys: Toys) -> None:
    class Base(DeclarativeBase):
        pass

    class Here(Base):
        __tablename__ = "here"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Elsewhere(DeclarativeBase):
        pass

    class Ghost(Elsewhere):
        __tablename__ = "ghost"
        id: Mapped[int] = mapped_column(primary_key=True)

    db = SQLAlchemy(model_class=Base)
    app = toys.app(stock.url("own"), db)
    factories = Factories()
    factories.init_app(app, db)

    class HereFactory(BaseFactory[Here]):
        class Meta:
            registry = factories

    class GhostFactory(BaseFactory[Ghost]):
        class Meta:
            registry = factories

    outcome = toys.run(app, "test-db", "check")

    assert outcome.status == 1
    assert outcome.out.splitlines() == [
        "Compared the models (there are no migrations) with 2 factories on 1 tables.",
        "factory GhostFactory: its model Ghost is in the table 'ghost', which is not there",
        "They disagree.",
    ]
