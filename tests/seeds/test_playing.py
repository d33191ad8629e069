"""Playing a scenario: all or nothing, and the same again."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from flask_testbed.errors import RefusedError, SeedError
from flask_testbed.seeds import Seed
from tests.support.seed_toys import (
    DAY,
    Book,
    BookFactory,
    Shelf,
    ShelfFactory,
    db,
    everything,
    library,
    next_id,
    play,
)

# All or nothing


def test_a_play_is_committed_and_reported(toy: Flask) -> None:
    report = play(toy, scale=3)
    assert report.rows == {"toy_shelves": 1, "toy_books": 6}
    assert report.total == 7 == len(everything())
    assert (report.scenario, report.scale, report.as_of) == ("library", 3, DAY)
    assert report.rows_per_second == pytest.approx(7 / report.seconds)


def test_a_play_is_one_commit(toy: Flask, commits: list[Session]) -> None:
    play(toy)
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


def test_reset_is_undone_if_the_scenario_fails(toy: Flask) -> None:
    ShelfFactory.create_batch(2)
    found = everything()

    def fail(seed: Seed) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        play(toy, fail, reset=True)
    assert everything() == found
    assert next_id() == 3


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


# Options


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


def test_reset_is_refused_in_production(toy: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(toy.config, "ENVIRONMENT", "production")
    ShelfFactory()
    with pytest.raises(RefusedError, match="production"):
        play(toy, reset=True)
    assert len(everything()) == 1
