"""Changes that no row tells of: of rarer objects, of settings, privileges and event triggers."""

from __future__ import annotations

from contextlib import closing

import pytest

from flask_testbed.isolation.commit.reset import NeedsClone
from tests.support.boxes import MakeBox

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
