"""The commands ``flask seed``."""

from __future__ import annotations

import sys

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from flask_testbed.cli import seed as seed_commands
from flask_testbed.seeds import Seed
from flask_testbed.seeds.scenarios import EXTENSION
from tests.support.seed_toys import (
    Book,
    ShelfFactory,
    db,
    everything,
    play,
    seed_app,
)
from tests.support.toys import run_command


@pytest.fixture(scope="module")
def toy_app() -> Flask:
    return seed_app()


def test_seed_plays_and_sums_up(toy: Flask) -> None:
    outcome = run_command(
        toy, "seed", "library", "--scale", "2", "--random-seed", "9", "--as-of", "2026-01-31"
    )
    assert outcome.status == 0
    assert outcome.out.splitlines()[:3] == [
        "table        rows",
        "toy_shelves     1",
        "toy_books       4",
    ]
    assert "Wrote 5 rows of 'library' as of 2026-01-31, random seed 9" in outcome.out
    assert outcome.err == ""
    assert len(everything()) == 5


def test_seed_gives_what_play_gives(toy: Flask) -> None:
    run_command(toy, "seed", "library", "--as-of", "2026-01-31")
    first = everything()
    play(toy, reset=True)
    assert everything() == first


def test_seed_dry_run_says_so(toy: Flask) -> None:
    outcome = run_command(toy, "seed", "library", "--dry-run")
    assert "Dry run: would have written 3 rows" in outcome.out
    assert "Nothing was kept." in outcome.out
    assert everything() == []


def test_seed_refuses_with_status_1_and_no_traceback(toy: Flask) -> None:
    ShelfFactory()
    outcome = run_command(toy, "seed", "library")
    assert outcome.status == 1
    assert outcome.err.startswith("Error: The table 'toy_shelves'")
    assert "Traceback" not in outcome.text


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
    assert run_command(toy, *line.split()).status == 2


def test_seed_list_and_help_show_the_scenarios(toy: Flask) -> None:
    lines = run_command(toy, "seed", "list").out.splitlines()
    assert lines[1] == "library   A shelf, and books on it."
    assert "library  A shelf, and books on it." in run_command(toy, "seed", "--help").out
    assert "Example:\n    flask seed library" in run_command(toy, "seed", "library", "--help").out


def test_seed_list_without_scenarios_says_what_to_do(
    toy: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(toy.extensions, EXTENSION)
    outcome = run_command(toy, "seed", "list")
    assert outcome.status == 1
    assert "`scenarios.init_app(app)`" in outcome.err


def test_a_terminal_gets_a_progress_bar(toy: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seed_commands, "_is_terminal", lambda stream: stream is sys.stderr)
    outcome = run_command(toy, "seed", "library")
    assert outcome.status == 0
    assert "Books" in outcome.err
    assert "Books" not in outcome.out


def test_the_summary_shows_the_speed_of_each_table(toy: Flask) -> None:
    def draft(seed: Seed) -> None:
        for _ in range(3):
            seed.draft(ShelfFactory)

    report = play(toy, draft)
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
        outcome = run_command(toy, "seed", "library", "--database-url", url)
        assert outcome.status == 0, outcome.text
        with Session(other) as session:
            assert session.scalar(sa.select(sa.func.count()).select_from(Book)) == 2
        assert everything() == []
        assert db.engine.url.render_as_string(hide_password=False) == own
    finally:
        other.dispose()
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text(f'DROP DATABASE "{name}"'))


def test_a_wrong_database_url_is_one_sentence(toy: Flask) -> None:
    outcome = run_command(toy, "seed", "library", "--database-url", "nonsense")
    assert outcome.status == 1
    assert outcome.err.startswith("Error: --database-url is not a database URL.")
