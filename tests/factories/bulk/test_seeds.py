"""One seed, one data set: in bulk as in single calls, however many rows there are."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from factory.builder import DeclarationSet
from factory.fuzzy import FuzzyChoice, FuzzyInteger
from factory.random import randgen
from faker.generator import random as faker_random

from flask_testbed.factories import Ago, Token
from flask_testbed.factories.bulk import children, create
from flask_testbed.factories.bulk.chunks.chunk import Chunk
from flask_testbed.factories.bulk.chunks.compiled import CompiledFactory
from flask_testbed.factories.bulk.nodes import pooled
from flask_testbed.factories.bulk.nodes.drawn import (
    MomentsAgo,
    RandomIntegers,
    RandomTokens,
    RandomUuids,
)
from flask_testbed.randomness import drawing_from, frozen, generator, reseed
from tests.support.bulk_toys import (
    Cargo,
    CargoFactory,
    Port,
    Sailor,
    SailorFactory,
    Ship,
    db,
)
from tests.support.paths import ROOT

AGO = Ago(timedelta(0), timedelta(days=9))


def state() -> list[Any]:
    return [generator().getstate(), randgen.getstate(), faker_random.getstate()]


def everything() -> dict[str, list[tuple[Any, ...]]]:
    """All rows, without the keys that the database counts, which never begin anew."""
    counted = {"id", "ship_id", "sister_id"}
    found = {}
    with db.engine.connect() as connection:
        for model in (Port, Ship, Sailor, Cargo):
            table = model.__table__
            columns = [column for column in table.c if model is Port or column.name not in counted]
            rows = connection.execute(sa.select(*columns).order_by(table.c.id))
            found[model.__name__] = [tuple(row) for row in rows]
    return found


def made_of(seed: Any, size: int) -> dict[str, list[tuple[Any, ...]]]:
    clear()
    reseed(seed)
    with frozen(datetime(2026, 4, 1, tzinfo=UTC)):
        SailorFactory.create_bulk(size)
        CargoFactory.create_bulk(size)
    return everything()


def clear() -> None:
    with db.engine.begin() as connection:
        for table in reversed(db.metadata.sorted_tables):
            connection.execute(table.delete())


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few rows are several chunks, and pick from pools."""
    for module in (create, children):
        monkeypatch.setattr(module, "CHUNK", 8)
    monkeypatch.setattr(pooled, "POOL", 5)


@pytest.mark.usefixtures("toy", "small_chunks")
def test_one_seed_gives_the_same_rows() -> None:
    first = made_of("a", 20)
    assert made_of("a", 20) == first
    assert made_of("b", 20)["Sailor"] != first["Sailor"]


@pytest.mark.usefixtures("toy", "small_chunks")
@pytest.mark.parametrize("size", [1, 7, 8, 9, 19])
def test_the_first_rows_of_many_are_those_of_a_few(size: int) -> None:
    many = made_of("a", 20)
    few = made_of("a", size)
    assert few["Sailor"] == many["Sailor"][:size]
    assert few["Cargo"] == many["Cargo"][:size]
    names = {row[1:] for row in many["Ship"]}
    assert {row[1:] for row in few["Ship"]} <= names


@pytest.mark.usefixtures("toy", "small_chunks")
def test_two_calls_under_one_seed_differ() -> None:
    reseed("a")
    CargoFactory.create_bulk(6)
    CargoFactory.create_bulk(6)
    raw = everything()["Cargo"]
    assert len({row[8] for row in raw}) == 12


@pytest.mark.usefixtures("toy", "small_chunks")
def test_what_is_drawn_afterwards_does_not_depend_on_how_many() -> None:
    states = []
    for size in (1, 20):
        clear()
        reseed("a")
        SailorFactory.create_bulk(size)
        states.append(state())
    assert states[0] == states[1]


@pytest.mark.usefixtures("toy", "small_chunks")
def test_columns_do_not_rise_and_fall_together() -> None:
    made_of("a", 40)
    CargoFactory.create_bulk(400)
    rows = everything()["Cargo"]
    small, double = ([row[at] for row in rows] for at in (2, 5))
    pairs = sorted(zip(small, double, strict=True))
    half = len(pairs) // 2
    lower, upper = (sum(d for _, d in part) / half for part in (pairs[:half], pairs[half:]))
    assert abs(lower - upper) < 0.15


def test_streams_go_on_from_where_they_stood() -> None:
    reseed("a")
    before = generator().random(), randgen.random(), faker_random.random()
    reseed("a")
    with drawing_from("elsewhere"):
        inside = generator().random(), randgen.random(), faker_random.random()
    assert (generator().random(), randgen.random(), faker_random.random()) == before
    assert len({*inside, *before}) == 6


HASHED = """
import sys
from tests.support.bulk_toys import *
from flask_testbed.factories import reseed
from flask_testbed.factories.bulk.maker import Maker
from flask_testbed.factories.bulk.chunks.chunk import Chunk
from flask_testbed.factories.bulk.chunks.compiled import CompiledFactory
from factory.builder import parse_declarations

reseed("a")
maker = Maker(None, BaseFactory)
pre, post = parse_declarations(
    {}, CargoFactory._meta.pre_declarations, CargoFactory._meta.post_declarations
)
compiled = CompiledFactory(CargoFactory, maker.seed, pre, {}, maker.compiler)
rows = Chunk(compiled, range(50), "0", range(50))
print([list(rows.column(name)) for name in pre])
"""


def test_the_hash_seed_changes_nothing() -> None:
    printed = {
        subprocess.run(
            [sys.executable, "-c", HASHED],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
    assert len(printed.pop()) > 1000


def unused(*_: Any) -> Any:
    raise AssertionError("nothing is compiled")


def test_the_streams_are_those_of_every_python() -> None:
    """A change of these values would change the data sets of all projects."""
    compiled = CompiledFactory(None, "bulk/7/Factory", DeclarationSet(), {}, unused)
    rows = Chunk(compiled, range(2), "0", range(2))
    with frozen(datetime(2026, 4, 1, tzinfo=UTC)):
        drawn = [
            [str(key) for key in RandomUuids("id").fill(rows)],
            list(RandomTokens("t", Token()).fill(rows)),
            [f"{at:%d %H:%M:%S}" for at in MomentsAgo("a", AGO).fill(rows)],
            list(RandomIntegers("n", FuzzyInteger(1, 10**6)).fill(rows)),
            list(pooled.Choices("c", FuzzyChoice("abcdefghij")).fill(rows)),
        ]
    assert drawn == [
        ["1eefbbc2-9c99-4f99-8974-2b5a13597a08", "dd0bec2e-eaa4-45b3-9905-cc370db07995"],
        ["384005a97d76", "5b680dc43af1"],
        ["30 20:34:11", "23 05:29:14"],
        [360413, 751442],
        ["c", "j"],
    ]
