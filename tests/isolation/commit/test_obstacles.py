"""What an application, its migrations or a test put in the way of a reset."""

from __future__ import annotations

import pytest

from flask_testbed.isolation.commit.reset import NeedsClone, pending_changes
from tests.support.boxes import MakeBox

REFUSE = (
    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql"
    " AS 'BEGIN RAISE EXCEPTION ''append-only''; END'"
)
POLICY = "CREATE POLICY own ON note USING (tenant = current_setting('app.tenant', true))"
RAISING = "CREATE POLICY own ON note USING (tenant = current_setting('app.tenant'))"
FORCE = (
    "ALTER TABLE note ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE note FORCE ROW LEVEL SECURITY",
)
NOTE = "CREATE TABLE note (id int PRIMARY KEY, tenant text)"
ROW = "INSERT INTO note VALUES (1, 'a')"
TAG = "CREATE TABLE tag (note int REFERENCES note)"
AUDIT = (
    "CREATE TABLE audit (operation text)",
    "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql"
    " AS 'BEGIN INSERT INTO audit VALUES (tg_op); RETURN NULL; END'",
)
EVERY_TABLE = (
    "DO $$ DECLARE name text; BEGIN"
    " FOR name IN SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
    " WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
    " LOOP EXECUTE 'STATEMENT ' || name; END LOOP; END $$"
)
TENANT = "SET LOCAL app.tenant = 'a'"
INSERT = (TENANT, "INSERT INTO note VALUES (2, 'a')")
CHANGE = (TENANT, "DELETE FROM note")


CASES: list[tuple[list[str], tuple[str, ...]]] = [
    ([NOTE, "CREATE RULE r AS ON DELETE TO note DO INSTEAD NOTHING"], INSERT),
    (
        [
            NOTE,
            "CREATE RULE r AS ON DELETE TO note DO INSTEAD NOTHING",
            "ALTER TABLE note ENABLE ALWAYS RULE r",
        ],
        INSERT,
    ),
    (
        [NOTE, "CREATE RULE r AS ON DELETE TO note DO ALSO INSERT INTO audit VALUES ('')"],
        INSERT,
    ),
    (
        [
            NOTE,
            REFUSE,
            "CREATE TRIGGER t BEFORE DELETE OR UPDATE ON note EXECUTE FUNCTION refuse()",
            "ALTER TABLE note ENABLE ALWAYS TRIGGER t",
        ],
        INSERT,
    ),
    (
        [
            NOTE,
            "CREATE TRIGGER t AFTER TRUNCATE ON note EXECUTE FUNCTION audit()",
            "ALTER TABLE note ENABLE ALWAYS TRIGGER t",
        ],
        ("INSERT INTO note SELECT n, repeat('a', 100) FROM generate_series(1, 5000) n",),
    ),
    ([NOTE, *FORCE, POLICY], INSERT),
    ([NOTE, *FORCE, RAISING], INSERT),
    ([NOTE, ROW, *FORCE, POLICY], INSERT),
    ([NOTE, ROW, *FORCE, RAISING], CHANGE),
    (
        [NOTE, ROW, TAG, "INSERT INTO tag VALUES (1)", *FORCE, POLICY],
        (TENANT, "DELETE FROM tag", "DELETE FROM note"),
    ),
    (
        [
            "CREATE TABLE notes (id int, tenant text) PARTITION BY RANGE (id)",
            "CREATE TABLE note PARTITION OF notes FOR VALUES FROM (0) TO (10)",
            ROW,
            *FORCE,
            POLICY,
        ],
        ("DELETE FROM notes", "INSERT INTO notes VALUES (2, 'b')"),
    ),
]


def test_triggers_rules_and_policies_are_no_obstacle(make_box: MakeBox) -> None:
    migrations, tables = [], []
    for number, (migration, _) in enumerate(CASES):
        migrations += [f"CREATE SCHEMA case_{number}", f"SET search_path = case_{number}"]
        migrations += [*AUDIT, *migration]
        tables += [f"TABLE case_{number}.note", f"TABLE case_{number}.audit"]
    box = make_box(*migrations)
    before = box.rows(*tables)
    wrong = []
    for number, (migration, act) in enumerate(CASES):
        for _ in range(2):
            box.run(f"SET LOCAL search_path = case_{number}", *act)
            pending_changes(box.resetter)  # as for the log, whatever the policies say
            box.reset()
            assert pending_changes(box.resetter) is None
            if box.rows(*tables) != before:
                wrong.append(migration)
    assert wrong == []


@pytest.mark.parametrize(
    "trigger",
    [
        "BEFORE DELETE OR TRUNCATE ON note EXECUTE FUNCTION refuse()",
        "BEFORE DELETE OR TRUNCATE ON note EXECUTE FUNCTION skip()",
    ],
)
@pytest.mark.parametrize("row", [None, ROW])
def test_what_can_be_emptied_in_no_way_needs_a_clone(
    make_box: MakeBox, trigger: str, row: str | None
) -> None:
    box = make_box(
        NOTE,
        row or "SELECT",
        REFUSE,
        "CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        f"CREATE TRIGGER t {trigger}",
        "ALTER TABLE note ENABLE ALWAYS TRIGGER t",
    )
    box.reset()
    box.run(*INSERT)
    with pytest.raises(NeedsClone, match="note"):
        box.reset()


DAMAGE = [
    "DROP SCHEMA flask_testbed CASCADE",
    "DROP FUNCTION flask_testbed.reset",
    "DROP TABLE flask_testbed.touched",
    "CREATE OR REPLACE FUNCTION flask_testbed.reset_sequences() RETURNS void LANGUAGE plpgsql"
    " AS 'BEGIN RAISE EXCEPTION ''no''; END'",
    "REVOKE ALL ON public.note FROM CURRENT_USER",
]


def test_an_error_in_a_reset_needs_a_clone(make_box: MakeBox) -> None:
    box = make_box(NOTE, ROW)
    for act in DAMAGE:
        with box.resetter.transaction(force_rollback=True):
            box.resetter.execute(act)
            with pytest.raises(NeedsClone):
                box.reset()
    box.reset()


@pytest.mark.parametrize("statement", ["DELETE FROM", "TRUNCATE"])
def test_a_test_that_empties_every_table_needs_a_clone(make_box: MakeBox, statement: str) -> None:
    box = make_box(NOTE, ROW)
    box.run(EVERY_TABLE.replace("STATEMENT", statement))
    with pytest.raises(NeedsClone, match="flask_testbed"):
        box.reset()


def test_functions_of_the_application_do_not_take_the_place_of_the_servers(
    make_box: MakeBox,
) -> None:
    box = make_box(
        "CREATE FUNCTION public.format(text, text) RETURNS text LANGUAGE sql"
        " AS 'SELECT ''SELECT'''",
        "CREATE FUNCTION public.pg_relation_size(oid) RETURNS bigint LANGUAGE sql"
        " AS 'SELECT 0::bigint'",
        "CREATE FUNCTION public.hashtextextended(text, int) RETURNS bigint LANGUAGE sql"
        " AS 'SELECT 0::bigint'",
        "CREATE FUNCTION public.same(tid, tid) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
        "CREATE OPERATOR public.= (LEFTARG = tid, RIGHTARG = tid, FUNCTION = public.same)",
        "CREATE TABLE pg_class (oid oid)",
        NOTE,
        "INSERT INTO note SELECT n, 'a' FROM generate_series(1, 300) n",
        "CREATE TABLE tag (id int)",
    )
    before = box.rows("SELECT * FROM note ORDER BY id", "TABLE tag")
    box.run(
        "SET search_path = public, pg_catalog",
        "UPDATE note SET tenant = 'b' WHERE id % 2 = 0",
        "INSERT INTO tag VALUES (1)",
    )
    box.reset()
    assert box.rows("SELECT * FROM note ORDER BY id", "TABLE tag") == before


@pytest.mark.parametrize("number", [1, 300])
def test_functions_of_constraints_and_indexes_find_each_other(
    make_box: MakeBox, number: int
) -> None:
    box = make_box(
        "CREATE FUNCTION size(text) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT length($1)'",
        "CREATE FUNCTION is_short(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE"
        " AS 'BEGIN RETURN size($1) < 9; END'",
        "CREATE TABLE note (id int PRIMARY KEY, tenant text CHECK (is_short(tenant)))",
        "CREATE INDEX ON note (is_short(tenant))",
        f"INSERT INTO note SELECT n, 'a' FROM generate_series(1, {number}) n",  # noqa: S608
    )
    before = box.rows("SELECT * FROM note ORDER BY id")
    box.run("UPDATE note SET tenant = 'b' WHERE id = 1")
    box.reset()
    assert box.rows("SELECT * FROM note ORDER BY id") == before


SETTINGS = [
    "search_path = public, pg_catalog",
    "idle_session_timeout = '5s'",
    "statement_timeout = '5s'",
    "default_transaction_read_only = on",
    "default_transaction_isolation = serializable",
    "datestyle = 'SQL, DMY'",
    "intervalstyle = sql_standard",
    "bytea_output = escape",
    "extra_float_digits = -10",
    "plpgsql.extra_errors = 'all'",
]


def test_settings_of_the_database_do_not_matter(make_box: MakeBox) -> None:
    box = make_box(
        "CREATE TYPE pair AS (moment timestamptz, size float8, span interval, data bytea)",
        "CREATE TABLE note (id int, value pair)",
        "INSERT INTO note VALUES (1, (now(), 1/3.0, '1 mon -2 days', '\\x00ff')::pair)",
        "DO $$ BEGIN END $$",  # has PL/pgSQL loaded, or its settings would be unknown
        *(f"ALTER DATABASE THIS_DATABASE SET {setting}" for setting in SETTINGS),
    )
    before = box.rows("TABLE note")
    box.run("SET TRANSACTION READ WRITE", "DELETE FROM note")
    box.reset()
    assert box.rows("TABLE note") == before
    for timeout in ("statement_timeout", "idle_session_timeout"):
        assert box.resetter.execute(f"SHOW {timeout}").fetchone() == ("0",)


def test_tables_of_others_that_cannot_be_written_are_left_alone(make_box: MakeBox) -> None:
    box = make_box(
        NOTE,
        of_superuser=[
            "CREATE TABLE secret (id int)",
            "CREATE TABLE public_one (id int)",
            "GRANT SELECT ON public_one TO PUBLIC",
            "INSERT INTO secret VALUES (1)",
            "INSERT INTO public_one SELECT generate_series(1, 2000)",
        ],
    )
    before = box.rows("TABLE note", "TABLE secret", "TABLE public_one")
    box.run(*INSERT)
    box.reset()
    assert box.rows("TABLE note", "TABLE secret", "TABLE public_one") == before
