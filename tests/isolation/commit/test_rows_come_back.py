"""Rows of migrations come back: in their order, after VACUUM FULL, in tables of any shape."""

from __future__ import annotations

from contextlib import closing

import pytest

from flask_testbed.isolation.commit.reset import NeedsClone
from tests.support.boxes import MakeBox

SMALL = (
    "CREATE TABLE small (code text PRIMARY KEY, name text)",
    "INSERT INTO small VALUES ('at', 'A'), ('ch', 'C'), ('de', 'D'), ('fr', 'F')",
)
LARGE = (
    "CREATE TABLE large (code text PRIMARY KEY, name text)",
    "INSERT INTO large SELECT n, 'c' FROM generate_series(1001, 3000) n",
)
EQUAL = (
    "CREATE TABLE equal (code int, name text)",
    "CREATE INDEX equal_pkey ON equal (code)",
    "INSERT INTO equal SELECT 1, 'c' FROM generate_series(1, 1500)",
    "INSERT INTO equal SELECT 2, 'd' FROM generate_series(1, 1500)",
)


def test_a_small_table_comes_back_in_its_order(make_box: MakeBox) -> None:
    box = make_box(*SMALL)
    before = box.rows("TABLE small")
    for act in [
        "UPDATE small SET name = 'X' WHERE code = 'at'",
        "DELETE FROM small WHERE code = 'ch'",
        "INSERT INTO small VALUES ('zz', 'Z'); UPDATE small SET name = name || '!'",
    ]:
        box.run(act)
        box.reset()
        assert box.rows("TABLE small") == before


REWRITES = [
    ["DELETE FROM THE_TABLE WHERE code::text < 'c'", "VACUUM FULL THE_TABLE"],
    ["DELETE FROM THE_TABLE WHERE code::text < '1007'", "VACUUM FULL THE_TABLE"],
    ["VACUUM FULL THE_TABLE", "UPDATE THE_TABLE SET name = 'X'"],
    ["DELETE FROM THE_TABLE", "VACUUM FULL THE_TABLE"],
    ["UPDATE THE_TABLE SET name = 'X'", "VACUUM (FULL, FREEZE) THE_TABLE"],
    ["VACUUM FREEZE THE_TABLE", "UPDATE THE_TABLE SET name = 'X'"],
    ["CLUSTER THE_TABLE USING THE_TABLE_pkey", "UPDATE THE_TABLE SET name = 'X'"],
]


@pytest.mark.parametrize("role", ["superuser"], indirect=True)
def test_a_table_that_was_rewritten_comes_back(make_box: MakeBox) -> None:
    box = make_box(*SMALL, *LARGE, *EQUAL)
    tables = "small", "large", "equal"
    ordered = "SELECT code, name FROM THE_TABLE ORDER BY code, name"
    queries = [ordered.replace("THE_TABLE", table) for table in tables]
    before = box.rows(*queries)
    for table in tables:
        for acts in REWRITES:
            box.run_alone(*(act.replace("THE_TABLE", table) for act in acts))
            box.reset()
            assert box.rows(*queries) == before, acts


@pytest.mark.parametrize("role", ["ordinary"], indirect=True)
def test_a_table_that_was_rewritten_needs_a_clone_where_catalogs_are_compared(
    make_box: MakeBox,
) -> None:
    box = make_box(*LARGE)
    box.run_alone("VACUUM FULL large")
    with pytest.raises(NeedsClone):
        box.reset()


COLUMNS = ", ".join(f"c{number} int" for number in range(1, 1601))


SHAPES = [
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
]


def test_tables_of_any_shape(make_box: MakeBox) -> None:
    box = make_box(*(statement for migration, _, _ in SHAPES for statement in migration))
    queries = [query for _, _, found in SHAPES for query in found]
    before = box.rows(*queries)
    for _, acts, _ in SHAPES:
        box.run(*acts)
        box.reset()
        assert box.rows(*queries) == before, acts


LOGO = ("CREATE TABLE logo (picture oid)", "INSERT INTO logo SELECT lo_from_bytea(0, 'abc')")


def test_a_large_object_of_a_migration_stays_and_others_go(make_box: MakeBox) -> None:
    box = make_box(*LOGO)
    queries = "SELECT lo_get(picture) FROM logo", "SELECT count(*) FROM pg_largeobject_metadata"
    before = box.rows(*queries)
    for _ in range(2):
        box.run("SELECT lo_from_bytea(0, 'x')")
        box.reset()
        assert box.rows(*queries) == before


CHANGES = [
    "SELECT lo_put(picture, 1, 'x') FROM logo",
    "SELECT lo_unlink(picture) FROM logo",
    "SELECT lo_truncate(lo_open(picture, 131072), 1) FROM logo",
    "DO $$ BEGIN EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO PUBLIC',"
    " (SELECT picture FROM logo)); END $$",
]


def test_a_large_object_of_a_migration_that_was_changed_needs_a_clone(make_box: MakeBox) -> None:
    box = make_box(*LOGO)
    unnoticed = []
    with closing(box.connect()) as connection:
        for act in CHANGES:
            with connection.transaction(force_rollback=True):
                connection.execute(act)
                if not connection.execute("TABLE flask_testbed.schema_change").fetchall():
                    unnoticed.append(act)
    assert unnoticed == []
