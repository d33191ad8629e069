"""What ``factories lint`` finds, on toy factories of which each is wrong in one way."""

from __future__ import annotations

import json
import sys
import uuid
from dataclasses import replace
from decimal import Decimal
from enum import Enum
from typing import Any, Generic, TypeVar

import factory
import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from flask_testbed import development_url
from flask_testbed.cli import factories as factory_commands
from flask_testbed.errors import FactoryError
from flask_testbed.factories import BaseFactory, Factories, KeyOf, Uuid
from flask_testbed.factories.lint.linter import Fault, LintReport, lint
from tests.support.paths import INSTANCE
from tests.support.servers import Stock
from tests.support.toys import Toys

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
    """Nobody makes it."""

    __tablename__ = "lint_orphans"

    id: Mapped[int] = mapped_column(primary_key=True)


factories = Factories()


class ToyFactory(BaseFactory[M], Generic[M]):
    class Meta:
        abstract = True
        registry = factories


class ParentFactory(ToyFactory[Parent]):
    pass


class ThingFactory(ToyFactory[Thing]):
    """Nothing is wrong with it."""

    class Params:
        rated = factory.Trait(rating=5)
        parented = factory.Trait(parent=factory.SubFactory(ParentFactory))

    name = "lamp"


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
        parented_to_nobody = factory.Trait(parent_id=77)


class OnceInAThousand(ThingFactory):
    rating = factory.Sequence(lambda number: 0 if number == 777 else 1)


class NowAndThenTheSame(ThingFactory):
    """Only the samples are many enough: the 601st is the first again."""

    shelf = 1
    place = factory.Sequence(lambda number: number % 600)


class ByKey(ThingFactory):
    """Its parent's key must be there when the row is made."""

    parent_id = KeyOf(ParentFactory)
    mail = factory.LazyAttribute(lambda thing: f"{thing.parent_id:d}@example.com")


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


ONLY_IN_SAMPLES = ["OnceInAThousand", "NowAndThenTheSame"]
CLEAN = ["ParentFactory", "ThingFactory", "Committing", "Counting"]


@pytest.fixture(scope="module")
def toy_app() -> Flask:
    app = Flask("toy", instance_path=str(INSTANCE))
    app.config["SQLALCHEMY_DATABASE_URI"] = development_url(INSTANCE, "toy_lint")
    db.init_app(app)
    factories.init_app(app, db)
    app.cli.add_command(factory_commands.factories)
    return app


def faults(app: Flask, *names: str, samples: int = 0, **options: Any) -> list[Fault]:
    return list(lint(app, names, samples=samples, **options).faults)


@pytest.mark.parametrize(
    ("name", "kind", "columns", "constraint", "message"),
    [
        ("TooLong", "length", "name", "VARCHAR(10)", "28 characters"),
        ("TooMuch", "range", "price", "NUMERIC(5, 2)", "1000.00"),
        ("TooLarge", "range", "small", "SMALLINT", "40000"),
        ("NoSuchSize", "check", "size", "size", "tiny"),
        ("OutOfRange", "check", "rating", "rating_range", "rating_range"),
        ("Nameless", "not null", "name", None, "null value"),
        ("TwoInAPlace", "unique", "shelf place", "one_in_a_place", "(1, 1) already exists"),
        ("SameMail", "unique", "mail", "one_mail", "a@example.com"),
        ("NoParent", "foreign key", "parent_id", "of_the_parent", "(77) is not present"),
        ("NoParentInTheEnd", "foreign key", "late_id", "late", "(77) is not present"),
        ("NoUuid", "type", "key", "UUID", '"no-uuid"'),
        ("NotAdaptable", "type", "name", "VARCHAR(10)", "object object"),
        ("NoSuchAttribute", "error", "", None, "'colour' is an invalid keyword"),
        ("Raising", "error", "", None, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_fault_names_its_column_and_its_constraint(
    toy_app: Flask, name: str, kind: str, columns: str, constraint: str | None, message: str
) -> None:
    (fault,) = faults(toy_app, name)

    assert (fault.factory, fault.trait, fault.kind) == (name, None, kind)
    assert fault.columns == tuple(columns.split())
    assert fault.constraint == constraint
    assert message in fault.message
    assert fault.table == ("lint_things" if columns else None)


def test_a_fault_names_the_strategies_that_show_it(toy_app: Flask) -> None:
    shown = {
        name: faults(toy_app, name)[0].strategies
        for name in ("Raising", "OutOfRange", "TwoInAPlace", "NotBuilt")
    }

    assert shown == {
        "Raising": ("build", "create", "create_batch"),
        "OutOfRange": ("create", "create_batch"),
        "TwoInAPlace": ("create_batch",),
        "NotBuilt": ("build",),
    }


def test_a_trait_is_named_if_the_fault_is_its_own(toy_app: Flask) -> None:
    found = faults(toy_app, "WrongTrait")

    assert [(fault.trait, fault.constraint) for fault in found] == [
        ("overrated", "rating_range"),
        ("parented_to_nobody", "of_the_parent"),
    ]


def test_what_a_plain_call_shows_is_not_told_again_of_the_traits(toy_app: Flask) -> None:
    assert [fault.trait for fault in faults(toy_app, "TooLong", samples=50)] == [None]


def test_samples_find_what_happens_once_in_a_thousand(toy_app: Flask) -> None:
    assert faults(toy_app, "OnceInAThousand", samples=700) == []

    # Three traits and strategies, tried once, have taken some of the numbers.
    (fault,) = faults(toy_app, "OnceInAThousand", samples=1000)

    assert (fault.strategies, fault.failed) == ((), 1)
    assert fault.constraint == "rating_range"
    assert 300 < fault.samples < 400


def test_samples_find_rows_that_collide_with_earlier_ones(toy_app: Flask) -> None:
    assert faults(toy_app, "NowAndThenTheSame", samples=500) == []

    found = faults(toy_app, "NowAndThenTheSame", samples=700)

    assert [(fault.constraint, fault.trait) for fault in found] == [("one_in_a_place", None)]
    assert found[0].failed > 30


@pytest.mark.parametrize("name", CLEAN)
def test_a_factory_that_is_right_has_no_fault(toy_app: Flask, name: str) -> None:
    assert faults(toy_app, name, samples=120) == []


def test_a_factory_that_needs_a_key_at_once_is_sampled_all_the_same(toy_app: Flask) -> None:
    found = faults(toy_app, "ByKey", samples=120)

    # Without a database there is no key.
    assert {fault.strategies for fault in found} == {("build",)}
    assert sum(fault.failed for fault in found) == 0


def test_the_same_seed_finds_the_same(toy_app: Flask) -> None:
    def found(seed: str) -> list[Fault]:
        found = faults(toy_app, "OnceInAThousand", "OutOfRange", samples=900, random_seed=seed)
        return [replace(fault, message="") for fault in found]

    assert found("7") == found("7")


def test_a_query_of_a_factory_sees_the_rows_before(toy_app: Flask) -> None:
    numbers.clear()

    assert faults(toy_app, "Counting", samples=12) == []
    assert numbers[-12:] == list(range(12))
    # Nothing was made twice: neither by the strategies nor by the samples.
    assert len(numbers) == 3 * 4 + 12


def test_nothing_stays_behind(toy_app: Flask) -> None:
    lint(toy_app, samples=10)

    with toy_app.app_context():
        assert db.session.scalar(sa.select(sa.func.count()).select_from(Thing)) == 0
        assert db.session.scalar(sa.select(sa.func.count()).select_from(Parent)) == 0


@pytest.fixture
def report(toy_app: Flask) -> LintReport:
    return lint(toy_app, samples=0)


def test_all_faults_are_in_one_report(report: LintReport) -> None:
    wrong = {name for name, value in globals().items() if isinstance(value, type(ThingFactory))}
    wrong -= {"BaseFactory", "ToyFactory", "UnusedFactory", *ONLY_IN_SAMPLES, *CLEAN}

    assert {fault.factory for fault in report.faults} == wrong
    assert report.factories == len(wrong) + len(CLEAN) + len(ONLY_IN_SAMPLES)


def test_a_model_without_a_factory_is_reported(report: LintReport) -> None:
    assert report.without_factory == (f"Orphan ({__name__})",)


def test_columns_that_no_factory_fills_are_listed_with_the_reason(toy_app: Flask) -> None:
    listed = lint(toy_app, ["ThingFactory"], samples=0).unfilled

    assert {(one.column, one.because) for one in listed} == {
        ("price", "nullable"),
        ("small", "nullable"),
        ("size", "nullable"),
        ("shelf", "nullable"),
        ("place", "nullable"),
        ("mail", "nullable"),
        ("key", "nullable"),
        ("late_id", "nullable"),
        ("state", "default"),
        ("made", "server default"),
    }


def test_an_application_without_factories_is_told_so() -> None:
    with pytest.raises(FactoryError, match="has no factories: call"):
        lint(Flask("bare"))


# The command


def run(app: Flask, *arguments: str) -> tuple[int, str]:
    result = app.test_cli_runner().invoke(args=["factories", "lint", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_the_command_succeeds_if_nothing_is_wrong(toy_app: Flask) -> None:
    status, output = run(toy_app, "ThingFactory", "--samples", "60")

    assert status == 0
    assert "1 factory, 2 traits, 60 samples each (random seed 0), in " in output
    assert output.endswith("\nno fault.\n")


def test_the_command_fails_and_says_all(toy_app: Flask) -> None:
    status, output = run(toy_app, "--samples", "0")

    assert status == 1
    for part in (
        "OutOfRange\n  lint_things.rating: check rating_range\n  in create, create_batch\n",
        "WrongTrait, trait overrated\n",
        "TwoInAPlace\n  lint_things.shelf, lint_things.place: unique one_in_a_place\n",
        f"Models without a factory:\n  Orphan ({__name__})\n",
        "Columns that no factory fills (default):\n  lint_things.state\n",
    ):
        assert part in output
    assert output.endswith(" faults, 1 model without a factory.\n")
    assert max(map(len, output.splitlines())) <= 80


def test_samples_are_counted_in_the_report(toy_app: Flask) -> None:
    _, output = run(toy_app, "OnceInAThousand")

    assert "in 1 of 333 samples" in output or "in 1 of 334 samples" in output


def test_a_missing_factory_can_be_allowed(toy_app: Flask) -> None:
    with_orphan = lint(toy_app, samples=0)
    without = lint(toy_app, samples=0, partial=True)

    assert not with_orphan.clean
    assert without.without_factory == ()
    assert lint(toy_app, ["ThingFactory"], samples=0).clean


def test_the_report_can_be_read_by_a_program(toy_app: Flask) -> None:
    status, output = run(toy_app, "OutOfRange", "--json", "--samples", "30")

    answer = json.loads(output)
    assert status == 1
    assert answer["clean"] is False
    (fault,) = answer["faults"]
    assert fault["columns"] == ["rating"]
    assert fault["failed"] > 0


def test_an_unknown_factory_is_refused(toy_app: Flask) -> None:
    status, output = run(toy_app, "NoFactory")

    assert status == 1
    assert "No factory is called 'NoFactory'. There are:" in output


def test_progress_is_shown_on_a_terminal_only(
    toy_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, silent = run(toy_app, "ThingFactory", "--samples", "60")
    monkeypatch.setattr(factory_commands, "_is_terminal", lambda stream: stream is sys.stderr)
    _, spoken = run(toy_app, "ThingFactory", "--samples", "60")

    assert "Calling" not in silent
    assert "Calling" in spoken


@pytest.fixture
def stock_app(toys: Toys, stock: Stock) -> Flask:
    stock.create("shop")
    app = toys.app(stock.url("shop"), db)
    factories.init_app(app, db)
    return app


def test_only_a_test_database_is_used_and_it_is_dropped(
    toys: Toys, stock: Stock, stock_app: Flask
) -> None:
    sessions = "SELECT sessions FROM pg_stat_database WHERE datname = 'shop'"
    before = stock.databases(), stock.rows(sessions)

    outcome = toys.run(stock_app, "factories", "lint", "ThingFactory", "Committing")

    assert outcome.status == 0, outcome.text
    assert (stock.databases(), stock.rows(sessions)) == before
    assert stock_app.config["SQLALCHEMY_DATABASE_URI"].endswith("/shop")


def test_nothing_is_made_in_production(
    toys: Toys, stock: Stock, stock_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stock.databases()
    monkeypatch.setenv("APP_ENV", "production")

    outcome = toys.run(stock_app, "factories", "lint")

    outcome.assert_says("production")
    assert stock.databases() == before


class UnusedFactory(BaseFactory[Thing]):
    """Of no registry, and so of no interest."""

    key = Uuid()
