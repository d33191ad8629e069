"""Changes that no row tells of: of rarer objects, of settings, privileges and event triggers."""

from __future__ import annotations

from contextlib import closing

import pytest

from flask_testbed.embedded.server import EmbeddedServer
from flask_testbed.isolation.commit.leaks import Horizons, Leak, find_leaks
from flask_testbed.isolation.commit.reset import NeedsClone
from tests.support.boxes import MakeBox
from tests.support.notes import MakeSandbox, connect
from tests.support.paths import INSTANCE

MIGRATION = (
    "CREATE TYPE mood AS ENUM ('good')",
    "CREATE TABLE note (id int GENERATED ALWAYS AS IDENTITY, name text)",
    "CREATE SEQUENCE number",
    "CREATE FUNCTION plus(int, int) RETURNS int LANGUAGE sql AS 'SELECT $1 + $2'",
)


ACTS = [
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC",
    "CREATE COLLATION plain (provider = libc, locale = 'C')",
    "CREATE TEXT SEARCH CONFIGURATION plain (COPY = simple)",
    "CREATE TEXT SEARCH DICTIONARY plain (TEMPLATE = simple)",
    "CREATE CAST (text AS mood) WITH INOUT",
    "CREATE CONVERSION plain FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
    "CREATE OPERATOR @@@ (LEFTARG = int, RIGHTARG = int, FUNCTION = plus)",
    "CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int)",
    "ALTER SEQUENCE number OWNED BY note.name",
    "ALTER SEQUENCE number INCREMENT BY 5",
    "GRANT CREATE ON SCHEMA public TO PUBLIC",
    "COMMENT ON SCHEMA public IS 'changed'",
    "CREATE PUBLICATION everything FOR TABLE note",
    "CREATE STATISTICS together ON id, name FROM note",
    "ALTER DATABASE THIS_DATABASE SET work_mem = '7MB'",
    "ALTER DATABASE THIS_DATABASE CONNECTION LIMIT 7",
    "ALTER ROLE CURRENT_USER IN DATABASE THIS_DATABASE SET work_mem = '7MB'",
    "REVOKE CONNECT ON DATABASE THIS_DATABASE FROM PUBLIC",
    "COMMENT ON DATABASE THIS_DATABASE IS 'changed'",
]


def test_a_change_outside_of_tables_is_noticed(make_box: MakeBox) -> None:
    box = make_box(*MIGRATION, "COMMENT ON DATABASE THIS_DATABASE IS 'flask-testbed: run'")
    box.reset()
    unnoticed = []
    with closing(box.connect()) as connection:
        for act in ACTS:
            with connection.transaction(force_rollback=True):
                connection.execute(act.replace("THIS_DATABASE", box.name))
                if not connection.execute("TABLE flask_testbed.schema_change").fetchall():
                    unnoticed.append(act)
    assert unnoticed == []
    box.reset()


@pytest.mark.parametrize("role", ["superuser"], indirect=True)
@pytest.mark.parametrize(
    "acts",
    [
        ["ALTER EVENT TRIGGER flask_testbed_change DISABLE", "CREATE TABLE hidden (id int)"],
        ["DROP EVENT TRIGGER flask_testbed_change", "CREATE TABLE hidden (id int)"],
        [
            "CREATE EVENT TRIGGER other ON ddl_command_end"
            " EXECUTE FUNCTION flask_testbed.record_ddl()"
        ],
        [
            "SET LOCAL flask_testbed.own_ddl = on",
            "SET LOCAL session_replication_role = replica",
            "CREATE TABLE hidden (id int)",
        ],
    ],
)
def test_event_triggers_cannot_be_evaded(make_box: MakeBox, acts: list[str]) -> None:
    box = make_box(*MIGRATION)
    box.run(*acts)
    with pytest.raises(NeedsClone):
        box.reset()


def test_a_bound_for_waits_is_no_change(make_box: MakeBox) -> None:
    box = make_box(*MIGRATION)
    bound = "SELECT flask_testbed.bound_waits('9s')"
    assert box.resetter.execute(bound).fetchone() == (True,)
    box.reset()
    assert box.resetter.execute("SELECT flask_testbed.bound_waits(NULL)").fetchone() == (True,)
    box.reset()


def test_a_bound_of_the_application_stays(make_box: MakeBox) -> None:
    box = make_box("ALTER DATABASE THIS_DATABASE SET lock_timeout = '3s'")
    bound = "SELECT flask_testbed.bound_waits('9s')"
    assert box.resetter.execute(bound).fetchone() == (False,)


@pytest.mark.parametrize("role", ["ordinary"], indirect=True)
@pytest.mark.parametrize("row", ["", "INSERT INTO note (name) VALUES ('first')"])
def test_policies_hide_no_leak_from_the_owner(make_box: MakeBox, row: str) -> None:
    box = make_box(
        *MIGRATION,
        row,
        "ALTER TABLE note ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE note FORCE ROW LEVEL SECURITY",
        "CREATE POLICY own ON note USING (name = current_setting('app.name')) WITH CHECK (true)",
    )
    box.run("INSERT INTO note (name) VALUES ('left')")
    assert find_leaks(box.resetter, Horizons()) == [Leak("public.note", 1, 0, None)]
    box.reset()
    assert find_leaks(box.resetter, Horizons()) == []


def test_a_change_of_the_database_is_a_leak(make_box: MakeBox) -> None:
    box = make_box()
    box.run(f"ALTER DATABASE {box.name} SET work_mem = '7MB'")
    (leak,) = find_leaks(box.resetter, Horizons())
    assert str(leak).startswith("the database is not as it was at the start: settings of the")


def test_what_all_databases_share_is_named(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox()
    with closing(connect(sandbox.url())) as connection:
        connection.autocommit = True
        connection.execute("DROP ROLE IF EXISTS testbed_new")
        connection.execute("CREATE ROLE testbed_new")
        connection.execute("ALTER ROLE testbed_new SET work_mem = '7MB'")
        sandbox.close()
    with closing(connect(EmbeddedServer(INSTANCE, "test").url("postgres"))) as connection:
        connection.execute("DROP ROLE testbed_new")
        connection.commit()
    assert {"the role testbed_new", "the setting work_mem of the role testbed_new"} <= set(
        sandbox.shared
    )
