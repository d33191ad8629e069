"""What scenarios promise, on toy models."""

from __future__ import annotations

import contextlib
import json
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Generic, TypeVar

import factory
import pytest
import sqlalchemy as sa
from click.testing import Result
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from flask_testbed import development_url
from flask_testbed.cli import factories as factory_commands
from flask_testbed.cli import seed as seed_commands
from flask_testbed.errors import BulkError, RefusedError, SeedError
from flask_testbed.factories import Ago, BaseFactory, Factories, Uuid
from flask_testbed.seeds import Seed, tables
from flask_testbed.seeds import playing as seeds
from flask_testbed.seeds.playing import SeedReport
from flask_testbed.seeds.scenarios import EXTENSION, Scenario, Scenarios
from tests.support.paths import INSTANCE

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
def _make_a_table_of_somebody_else(_: sa.MetaData, connection: sa.Connection, **__: Any) -> None:
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


@pytest.fixture(scope="module")
def toy_app() -> Flask:
    app = Flask("toy", instance_path=str(INSTANCE))
    app.config["SQLALCHEMY_DATABASE_URI"] = development_url(INSTANCE, "toy_seeds")
    db.init_app(app)
    factories.init_app(app, db)
    scenarios.init_app(app)
    app.cli.add_command(seed_commands.seed)
    app.cli.add_command(factory_commands.factories)
    return app


@pytest.fixture
def toy(toy_app: Flask) -> Iterator[Flask]:
    """The toy application, current; the plugin puts its database back after each test."""
    with toy_app.app_context():
        yield toy_app


def play(app: Flask, scenario: Any = LIBRARY, **options: Any) -> SeedReport:
    if not isinstance(scenario, Scenario):
        scenario = Scenario("test", scenario, (Shelf, Book))
    return seeds.play(app, db, scenario, **{"as_of": DAY, **options})


def everything() -> list[tuple[Any, ...]]:
    """All rows, as another session sees them."""
    with Session(db.engine) as session:
        return [
            tuple(row)
            for model in (Shelf, Book)
            for row in session.execute(sa.select(*columns(model)))
        ]


def columns(model: Any) -> Any:
    return model.__table__.columns


def next_id() -> int:
    """What the counter of shelves gives next."""
    with db.engine.connect() as connection:
        return connection.scalar(sa.text("SELECT nextval('toy_shelves_id_seq')"))


# All or nothing


def test_a_play_is_committed_and_reported(toy: Flask) -> None:
    report = play(toy, scale=3)
    assert report.rows == {"toy_shelves": 1, "toy_books": 6}
    assert report.total == 7 == len(everything())
    assert (report.scenario, report.scale, report.as_of) == ("library", 3, DAY)
    assert report.rows_per_second == pytest.approx(7 / report.seconds)


def test_a_play_is_one_commit(toy: Flask) -> None:
    commits = []

    def after_commit(session: Session) -> None:
        if not session.in_nested_transaction():
            commits.append(session)

    sa.event.listen(Session, "after_commit", after_commit)
    try:
        play(toy)
    finally:
        sa.event.remove(Session, "after_commit", after_commit)
    assert len(commits) == 1


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_leaves_nothing(toy: Flask, error: type[BaseException]) -> None:
    def fail(seed: Seed) -> None:
        library(seed)
        raise error

    with pytest.raises(error):
        play(toy, fail)
    assert everything() == []
    assert next_id() == 1


def test_a_constraint_leaves_nothing(toy: Flask) -> None:
    def twice(seed: Seed) -> None:
        BookFactory(title="the same")
        BookFactory(title="the same")

    with pytest.raises(IntegrityError):
        play(toy, twice)
    assert everything() == []


def test_a_scenario_that_commits_is_refused(toy: Flask) -> None:
    def commit(seed: Seed) -> None:
        BookFactory()
        seed.session.commit()

    with pytest.raises(SeedError, match="The scenario committed"):
        play(toy, commit)
    assert everything() == []


def test_a_scenario_that_rolls_back_is_refused(toy: Flask) -> None:
    def roll_back(seed: Seed) -> None:
        seed.session.rollback()
        BookFactory()

    with pytest.raises(SeedError, match="The scenario rolled the session back"):
        play(toy, roll_back)
    assert everything() == []


def test_a_scenario_may_undo_a_part(toy: Flask) -> None:
    def undo(seed: Seed) -> None:
        BookFactory(title="kept")
        with contextlib.suppress(IntegrityError), seed.session.begin_nested():
            BookFactory(title="kept")
        with seed.session.begin_nested():
            BookFactory(title="kept, too")

    assert play(toy, undo).rows["toy_books"] == 2


def test_after_a_play_the_session_commits_as_ever(toy: Flask) -> None:
    play(toy)
    ShelfFactory()
    assert len(everything()) == 4


def test_a_dry_run_leaves_nothing_not_even_in_a_counter(toy: Flask) -> None:
    report = play(toy, dry_run=True)
    assert report.total == 3
    assert everything() == []
    assert next_id() == 1


@pytest.mark.parametrize("dry_run", [True, False])
def test_constraints_that_wait_for_the_commit_are_checked(toy: Flask, dry_run: bool) -> None:
    def orphan(seed: Seed) -> None:
        values = {"id": uuid.uuid4(), "title": "lost", "shelf_id": 99}
        seed.session.execute(sa.insert(Book).values(**values))

    with pytest.raises(IntegrityError):
        play(toy, orphan, dry_run=dry_run)


# The same again


def test_one_seed_and_day_give_the_same_rows(toy: Flask) -> None:
    play(toy, random_seed=5)
    first = everything()
    play(toy, random_seed=5, reset=True)
    assert everything() == first
    play(toy, random_seed=6, reset=True)
    assert everything() != first


def test_the_seed_may_be_text_as_on_the_command_line(toy: Flask) -> None:
    play(toy, random_seed=5)
    first = everything()
    play(toy, random_seed="5", reset=True)
    assert everything() == first


def test_keys_begin_anew_on_tables_that_are_empty_again(toy: Flask) -> None:
    ShelfFactory.create_batch(3)
    db.session.execute(sa.delete(Shelf))
    db.session.commit()
    play(toy)
    assert everything()[0][0] == 1


def test_all_moments_are_before_the_day(toy: Flask) -> None:
    play(toy)
    (made_at,) = db.session.scalars(sa.select(Shelf.made_at))
    midnight = datetime(2026, 1, 31, tzinfo=UTC)
    assert midnight - timedelta(days=3) <= made_at <= midnight - timedelta(hours=1)


def test_the_day_is_today_by_default(toy: Flask) -> None:
    before = datetime.now(UTC).date()
    assert before <= play(toy, as_of=None).as_of <= datetime.now(UTC).date()


# What is in the way


def test_a_table_that_holds_rows_is_refused_by_name(toy: Flask) -> None:
    BookFactory.create_batch(2)
    found = everything()
    with pytest.raises(SeedError) as caught:
        play(toy)
    message = str(caught.value)
    assert "'toy_shelves'" in message
    assert "already holds 2 rows, and 1 other" in message
    assert "--reset" in message
    assert everything() == found


def test_a_table_that_the_scenario_does_not_fill_is_not_in_the_way(toy: Flask) -> None:
    db.session.add(Genre())
    db.session.commit()
    assert play(toy).rows == {"toy_shelves": 1, "toy_books": 2}


def test_without_fills_all_tables_count(toy: Flask) -> None:
    db.session.add(Genre())
    db.session.commit()
    with pytest.raises(SeedError, match="'toy_genres'"):
        play(toy, Scenario("all", library))


def test_reset_empties_the_tables_of_the_models_and_no_other(toy: Flask) -> None:
    db.session.add(Genre())
    ShelfFactory.create_batch(4)
    report = play(toy, reset=True)
    assert report.total == 3 == len(everything())
    assert everything()[0][0] == 1
    assert db.session.scalars(sa.select(Genre.id)).all() == []
    assert db.session.scalar(sa.text("SELECT count(*) FROM toy_bystanders")) == 1


def test_reset_is_undone_if_the_scenario_fails(toy: Flask) -> None:
    ShelfFactory.create_batch(2)
    found = everything()

    def fail(seed: Seed) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        play(toy, fail, reset=True)
    assert everything() == found
    assert next_id() == 3


def test_reset_is_refused_in_production(toy: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(toy.config, "ENVIRONMENT", "production")
    ShelfFactory()
    with pytest.raises(RefusedError, match="production"):
        play(toy, reset=True)
    assert len(everything()) == 1


def test_a_missing_table_names_the_way_out(toy: Flask) -> None:
    assert everything() == []
    late = sa.Table("toy_late", db.metadata, sa.Column("id", sa.Integer))
    try:
        with pytest.raises(SeedError, match=r"has no table 'toy_late'\..* flask db upgrade"):
            play(toy, Scenario("all", library))
    finally:
        db.metadata.remove(late)


def test_a_table_that_somebody_has_open_is_an_error_and_no_wait(
    toy: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "LOCK_TIMEOUT_MS", 20)
    with Session(db.engine) as other:
        other.execute(sa.select(Shelf))
        with pytest.raises(SeedError, match="canceling statement due to lock timeout"):
            play(toy, reset=True)


@pytest.mark.parametrize("scale", [0, -1])
def test_a_scale_below_one_is_refused(toy: Flask, scale: int) -> None:
    with pytest.raises(SeedError, match="must be 1 or more"):
        play(toy, scale=scale)


def test_progress_is_shown_item_by_item(toy: Flask) -> None:
    shown: list[Any] = []

    @contextlib.contextmanager
    def progress(items: Any, label: str, /) -> Iterator[Any]:
        yield (shown.append((label, item)) or item for item in items)

    play(toy, progress=progress)
    assert shown == [("Books", 0), ("Books", 1)]


# The registry


@pytest.mark.parametrize("name", ["library", "list"])
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    with pytest.raises(SeedError, match=f"'{name}': that name is taken"):
        scenarios.add(name)


def test_a_scenario_is_found_by_name() -> None:
    assert scenarios["library"].summary == "A shelf, and books on it."
    assert [scenario.name for scenario in scenarios] == ["library"]
    assert len(scenarios) == 1
    with pytest.raises(SeedError, match=r"called 'lbrary'. There are: library"):
        scenarios["lbrary"]


# The commands


def run(app: Flask, line: str, **options: Any) -> Result:
    return app.test_cli_runner().invoke(args=line.split(), **options)


def test_seed_plays_and_sums_up(toy: Flask) -> None:
    result = run(toy, "seed library --scale 2 --random-seed 9 --as-of 2026-01-31")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:3] == [
        "table        rows",
        "toy_shelves     1",
        "toy_books       4",
    ]
    assert "Wrote 5 rows of 'library' as of 2026-01-31, random seed 9" in result.stdout
    assert result.stderr == ""
    assert len(everything()) == 5


def test_seed_gives_what_play_gives(toy: Flask) -> None:
    run(toy, "seed library --as-of 2026-01-31")
    first = everything()
    play(toy, reset=True)
    assert everything() == first


def test_seed_dry_run_says_so(toy: Flask) -> None:
    result = run(toy, "seed library --dry-run")
    assert "Dry run: would have written 3 rows" in result.stdout
    assert "Nothing was kept." in result.stdout
    assert everything() == []


def test_seed_refuses_with_status_1_and_no_traceback(toy: Flask) -> None:
    ShelfFactory()
    result = run(toy, "seed library")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: The table 'toy_shelves'")
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "line",
    [
        "seed nothing",
        "seed library --scale 0",
        "seed library --scale x",
        "seed library --as-of may",
    ],
)
def test_bad_usage_has_status_2(toy: Flask, line: str) -> None:
    assert run(toy, line).exit_code == 2


def test_seed_list_and_help_show_the_scenarios(toy: Flask) -> None:
    assert run(toy, "seed list").stdout.splitlines()[1] == "library   A shelf, and books on it."
    assert "library  A shelf, and books on it." in run(toy, "seed --help").stdout
    assert "Example:\n    flask seed library" in run(toy, "seed library --help").stdout


def test_seed_list_without_scenarios_says_what_to_do(
    toy: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(toy.extensions, EXTENSION)
    result = run(toy, "seed list")
    assert result.exit_code == 1
    assert "`scenarios.init_app(app)`" in result.stderr


def test_reset_of_a_test_database_needs_no_confirmation(toy: Flask) -> None:
    ShelfFactory()
    assert run(toy, "seed library --reset").exit_code == 0
    assert len(everything()) == 3


@pytest.fixture
def shop(toy: Flask, monkeypatch: pytest.MonkeyPatch) -> Flask:
    """The toy application, as if its database were one that matters."""
    url = sa.make_url("postgresql+psycopg://ada:secret@db.example.com/shop")
    monkeypatch.setattr(seed_commands, "reach", lambda db: url)
    ShelfFactory()
    return toy


def test_reset_without_a_terminal_needs_yes(shop: Flask) -> None:
    refused = run(shop, "seed library --reset")
    assert refused.exit_code == 1
    assert "ada:***@db.example.com/shop" in refused.stderr
    assert "add --yes" in refused.stderr
    assert len(everything()) == 1
    assert run(shop, "seed library --reset --yes").exit_code == 0
    assert len(everything()) == 3


def test_reset_in_a_dry_run_needs_no_confirmation(shop: Flask) -> None:
    assert run(shop, "seed library --reset --dry-run").exit_code == 0
    assert len(everything()) == 1


@pytest.mark.parametrize(("answer", "status", "rows"), [("y\n", 0, 3), ("n\n", 1, 1), ("", 1, 1)])
def test_reset_on_a_terminal_asks(
    shop: Flask, monkeypatch: pytest.MonkeyPatch, answer: str, status: int, rows: int
) -> None:
    monkeypatch.setattr(seed_commands, "_is_terminal", lambda stream: stream is sys.stdin)
    result = run(shop, "seed library --reset", input=answer)
    assert "Empty the application's tables in postgresql+psycopg://ada:***@" in result.stdout
    assert result.exit_code == status
    assert len(everything()) == rows


def test_a_terminal_gets_a_progress_bar(toy: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seed_commands, "_is_terminal", lambda stream: stream is sys.stderr)
    result = run(toy, "seed library")
    assert result.exit_code == 0
    assert "Books" in result.stderr
    assert "Books" not in result.stdout


def test_factories_list_is_a_table(toy: Flask) -> None:
    assert run(toy, "factories list").stdout.splitlines() == [
        "factory       model  table",
        "ShelfFactory  Shelf  toy_shelves",
        "BookFactory   Book   toy_books",
    ]


def test_factories_list_as_json(toy: Flask) -> None:
    listed = json.loads(run(toy, "factories list --json").stdout)
    assert listed[0] == {
        "factory": "ShelfFactory",
        "model": "Shelf",
        "table": "toy_shelves",
        "traits": [],
    }


def test_factories_list_without_factories_says_what_to_do(
    toy: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(toy.extensions, "flask_testbed_factories")
    result = run(toy, "factories list")
    assert result.exit_code == 1
    assert "call `factories.init_app(app, db)`" in result.stderr


# In bulk


def story(seed: Seed) -> None:
    """Shelves and books that are drafted, in an order that no database would take."""
    for number in seed.progress(range(3 * seed.scale), "Shelves"):
        shelf = seed.draft(ShelfFactory, name="later")
        seed.draft(BookFactory, shelf=shelf, title=f"of {number}")
        shelf.name = f"shelf {number}"


def titles() -> list[tuple[str, str]]:
    query = sa.select(Book.title, Shelf.name).join(Book.shelf).order_by(Shelf.id)
    with Session(db.engine) as session:
        return [tuple(row) for row in session.execute(query)]


def test_drafts_are_written_with_what_they_were_given_last(toy: Flask) -> None:
    report = play(toy, story)
    assert titles() == [(f"of {number}", f"shelf {number}") for number in range(3)]
    assert report.rows == {"toy_shelves": 3, "toy_books": 3}
    assert set(report.speeds) == {"toy_shelves", "toy_books"}
    assert all(speed > 0 for speed in report.speeds.values())


def test_drafts_are_written_between_items_once_they_are_many(
    toy: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_testbed.seeds.seed.WORTH_WRITING", 4)
    counts = []

    def watch(seed: Seed) -> None:
        for _ in seed.progress(range(4), "Shelves"):
            seed.draft(ShelfFactory)
            seed.draft(BookFactory, shelf=None)
            counts.append(seed.session.scalar(sa.select(sa.func.count()).select_from(Book)))

    play(toy, watch)
    assert counts == [0, 0, 2, 2]


def test_one_seed_gives_the_same_drafts_at_any_scale(toy: Flask) -> None:
    play(toy, story, scale=2)
    twice = everything()
    play(toy, story, reset=True)
    assert set(everything()) < set(twice)
    play(toy, story, scale=2, reset=True)
    assert everything() == twice


def test_a_draft_tells_what_was_generated_only_when_it_is_written(toy: Flask) -> None:
    said: list[Any] = []

    def ask(seed: Seed) -> None:
        book = seed.draft(BookFactory, shelf=None)
        with pytest.raises(AttributeError, match=r"'title' of a draft .* `seed.flush\(\)` before"):
            said.append(book.title)
        seed.flush()
        said.append((book.id, book.title))
        with pytest.raises(BulkError, match=r"is set too late: it is written already"):
            book.title = "another"

    play(toy, ask)
    assert said == [tuple(row[:2]) for row in everything()]


def test_drafts_of_one_table_may_refer_to_later_ones(toy: Flask) -> None:
    def chain(seed: Seed) -> None:
        first, *others = [seed.draft(BookFactory, shelf=None, title=title) for title in "abc"]
        first.sequel = others[0]
        others[0].sequel = others[1]

    play(toy, chain)
    with Session(db.engine) as session:
        books = {book.title: book for book in session.scalars(sa.select(Book))}
        assert books["a"].sequel is books["b"]
        assert books["b"].sequel is books["c"]
        assert books["c"].sequel is None


def test_a_refused_draft_leaves_nothing(toy: Flask) -> None:
    def fail(seed: Seed) -> None:
        BookFactory.create_bulk(5)
        seed.draft(BookFactory, title="the same")
        seed.draft(BookFactory, title="the same")

    with pytest.raises(BulkError, match="the same"):
        play(toy, fail)
    assert everything() == []
    assert next_id() == 1


def test_what_the_seed_makes_is_made_by_the_factories(toy: Flask) -> None:
    def make(seed: Seed) -> None:
        shelf = seed.create(ShelfFactory, name="made now")
        keys = seed.bulk(BookFactory, 20, shelf=shelf)
        assert seed.pick(keys) in keys
        assert len(set(seed.pick(keys, 5))) == 5
        assert seed.pick(sa.select(Shelf)) is shelf
        assert seed.pick(["only"]) == "only"

    report = play(toy, make)
    assert report.rows == {"toy_shelves": 1, "toy_books": 20}
    assert set(report.speeds) == {"toy_shelves", "toy_books"}


def test_indexes_and_constraints_are_as_they_were_and_statistics_are_new(toy: Flask) -> None:
    query = sa.text(
        "SELECT 'index', indexdef FROM pg_indexes WHERE tablename LIKE 'toy\\_%' UNION ALL"
        " SELECT conname, pg_get_constraintdef(oid) || convalidated FROM pg_constraint"
        " WHERE conrelid = 'toy_books'::regclass ORDER BY 1, 2"
    )
    size = sa.text("SELECT reltuples FROM pg_class WHERE relname = 'toy_books'")
    with db.engine.connect() as connection:
        before = connection.execute(query).all()
    play(toy, story, scale=20)
    with db.engine.connect() as connection:
        assert connection.execute(query).all() == before
        assert connection.scalar(size) == 60


def test_the_summary_shows_the_speed_of_each_table(toy: Flask) -> None:
    report = play(toy, story)
    headings, shelves, *_ = seed_commands.summary(report).splitlines()
    assert headings.split() == ["table", "rows", "rows/s"]
    name, rows, speed = shelves.split()
    assert (name, rows) == ("toy_shelves", "3")
    assert int(speed.replace(",", "")) > 0


def test_another_database_can_be_seeded(toy: Flask) -> None:
    assert everything() == []
    here = db.engine.url
    own = here.render_as_string(hide_password=False)
    name = f"{here.database}_other"
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f'CREATE DATABASE "{name}"'))
    other = sa.create_engine(here.set(database=name))
    try:
        db.metadata.create_all(other)
        url = other.url.render_as_string(hide_password=False)
        result = run(toy, f"seed library --database-url {url}")
        assert result.exit_code == 0, result.output
        with Session(other) as session:
            assert session.scalar(sa.select(sa.func.count()).select_from(Book)) == 2
        assert everything() == []
        assert db.engine.url.render_as_string(hide_password=False) == own
    finally:
        other.dispose()
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text(f'DROP DATABASE "{name}"'))


def test_a_database_url_that_is_none_is_one_sentence(toy: Flask) -> None:
    result = run(toy, "seed library --database-url nonsense")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: --database-url is not a database URL.")
