"""What a scenario drafts is written in bulk."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from flask_testbed.errors import BulkError
from flask_testbed.seeds import Seed
from tests.support.seed_toys import (
    Book,
    BookFactory,
    Shelf,
    ShelfFactory,
    db,
    everything,
    next_id,
    play,
)


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
