"""Rows of migrations come back: in their order, after VACUUM FULL, in tables of any shape."""

from __future__ import annotations

import pytest

from flask_testbed.isolation.commit.reset import NeedsClone
from tests.support.boxes import MakeBox

COUNTRY = (
    "CREATE TABLE country (code text PRIMARY KEY, name text)",
    "INSERT INTO country VALUES ('at', 'A'), ('ch', 'C'), ('de', 'D'), ('fr', 'F')",
)
LARGE = (
    "CREATE TABLE country (code text PRIMARY KEY, name text)",
    "INSERT INTO country SELECT n, 'c' FROM generate_series(1001, 3000) n",
)
EQUAL = (
    "CREATE TABLE country (code int, name text)",
    "CREATE INDEX country_pkey ON country (code)",
    "INSERT INTO country SELECT 1, 'c' FROM generate_series(1, 1500)",
    "INSERT INTO country SELECT 2, 'd' FROM generate_series(1, 1500)",
)
ROWS = "SELECT code, name FROM country"


@pytest.mark.parametrize(
    "act",
    [
        "UPDATE country SET name = 'X' WHERE code = 'at'",
        "DELETE FROM country WHERE code = 'ch'",
        "INSERT INTO country VALUES ('zz', 'Z'); UPDATE country SET name = name || '!'",
    ],
)
def test_a_small_table_comes_back_in_its_order(make_box: MakeBox, act: str) -> None:
    box = make_box(*COUNTRY)
    before = box.rows(ROWS)
    for _ in range(2):
        box.run(act)
        box.reset()
        assert box.rows(ROWS) == before


@pytest.mark.parametrize("migration", [COUNTRY, LARGE, EQUAL], ids=["small", "large", "equal"])
@pytest.mark.parametrize(
    "acts",
    [
        ["DELETE FROM country WHERE code::text < 'c' AND code::text < '2'", "VACUUM FULL country"],
        ["VACUUM FULL country", "UPDATE country SET name = 'X'"],
        ["DELETE FROM country", "VACUUM FULL country"],
        ["UPDATE country SET name = 'X'", "VACUUM (FULL, FREEZE) country"],
        ["VACUUM FREEZE country", "UPDATE country SET name = 'X'"],
        ["CLUSTER country USING country_pkey", "UPDATE country SET name = 'X'"],
    ],
)
def test_a_table_that_was_rewritten_comes_back(
    make_box: MakeBox, role: str | None, migration: tuple[str, ...], acts: list[str]
) -> None:
    box = make_box(*migration)
    ordered = f"{ROWS} ORDER BY code, name"
    before = box.rows(ordered)
    for _ in range(2):
        box.run_alone(*acts)
        try:
            box.reset()
        except NeedsClone:
            assert role is not None, "where catalogs are compared, the new file is a change"
            return
        assert box.rows(ordered) == before
        box.run("DELETE FROM country")
        box.reset()
        assert box.rows(ordered) == before


COLUMNS = ", ".join(f"c{number} int" for number in range(1, 1601))


@pytest.mark.parametrize(
    ("migration", "acts", "queries"),
    [
        (
            ["CREATE TABLE bare ()", "INSERT INTO bare DEFAULT VALUES", "CREATE TABLE none ()"],
            ["INSERT INTO bare DEFAULT VALUES", "INSERT INTO none DEFAULT VALUES"],
            ["SELECT count(*) FROM bare", "SELECT count(*) FROM none"],
        ),
        (
            [
                f"CREATE TABLE wide ({COLUMNS})",
                "INSERT INTO wide (c1, c1600) SELECT n, 2 FROM generate_series(1, 150) n",
                f"CREATE TABLE empty ({COLUMNS})",
            ],
            ["DELETE FROM wide WHERE c1 = 7", "INSERT INTO empty (c9) VALUES (9)"],
            ["SELECT c1, c1600 FROM wide ORDER BY 1", "SELECT c9 FROM empty"],
        ),
        (
            [
                'CREATE TABLE "a$body$" (id int)',
                'CREATE TABLE "b$body$ %s \'\'" ("c$body$ %" int)',
                "INSERT INTO \"b$body$ %s ''\" VALUES (1)",
            ],
            ['INSERT INTO "a$body$" VALUES (1)', "DELETE FROM \"b$body$ %s ''\""],
            ['TABLE "a$body$"', "TABLE \"b$body$ %s ''\""],
        ),
        (
            [
                "CREATE TABLE made (one int GENERATED ALWAYS AS (1) STORED)",
                "INSERT INTO made DEFAULT VALUES",
            ],
            ["INSERT INTO made DEFAULT VALUES"],
            ["TABLE made"],
        ),
    ],
    ids=["no column", "1,600 columns", "odd names", "generated columns alone"],
)
def test_tables_of_any_shape(
    make_box: MakeBox, migration: list[str], acts: list[str], queries: list[str]
) -> None:
    box = make_box(*migration)
    before = box.rows(*queries)
    for _ in range(2):
        box.run(*acts)
        box.reset()
        assert box.rows(*queries) == before


LOGO = ("CREATE TABLE logo (picture oid)", "INSERT INTO logo SELECT lo_from_bytea(0, 'abc')")


def test_a_large_object_of_a_migration_stays_and_others_go(make_box: MakeBox) -> None:
    box = make_box(*LOGO)
    queries = "SELECT lo_get(picture) FROM logo", "SELECT count(*) FROM pg_largeobject_metadata"
    before = box.rows(*queries)
    for _ in range(2):
        box.run("SELECT lo_from_bytea(0, 'x')")
        box.reset()
        assert box.rows(*queries) == before


@pytest.mark.parametrize(
    "act",
    [
        "SELECT lo_put(picture, 1, 'x') FROM logo",
        "SELECT lo_unlink(picture) FROM logo",
        "SELECT lo_truncate(lo_open(picture, 131072), 1) FROM logo",
        "DO $$ BEGIN EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO PUBLIC',"
        " (SELECT picture FROM logo)); END $$",
    ],
)
def test_a_large_object_of_a_migration_that_was_changed_needs_a_clone(
    make_box: MakeBox, act: str
) -> None:
    box = make_box(*LOGO)
    box.run(act)
    with pytest.raises(NeedsClone, match=r"large object|GRANT"):
        box.reset()
