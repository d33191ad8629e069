"""The tables that a scenario fills: what is in the way, and what ``reset`` empties."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from flask_testbed.errors import SeedError
from flask_testbed.seeds import tables
from flask_testbed.seeds.scenarios import Scenario
from tests.support.seed_toys import (
    BookFactory,
    Genre,
    Shelf,
    ShelfFactory,
    db,
    everything,
    library,
    play,
)


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


def test_a_missing_table_names_the_way_out(toy: Flask) -> None:
    assert everything() == []
    late = sa.Table("toy_late", db.metadata, sa.Column("id", sa.Integer))
    try:
        with pytest.raises(SeedError, match=r"has no table 'toy_late'\..* flask db upgrade"):
            play(toy, Scenario("all", library))
    finally:
        db.metadata.remove(late)


def test_a_table_that_another_session_has_open_is_an_error_and_no_wait(
    toy: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "LOCK_TIMEOUT_MS", 20)
    with Session(db.engine) as other:
        other.execute(sa.select(Shelf))
        with pytest.raises(SeedError, match="canceling statement due to lock timeout"):
            play(toy, reset=True)
