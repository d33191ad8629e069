"""Changes of the schema, and what may only be done outside of a transaction."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from tests.support.scenarios.environment import Environment, attempt, execute, insert
from tests.support.scenarios.scenario import Differs, Refused, scenario

#: One of each kind that a test may make, change or drop.
CHANGES = [
    "ALTER TABLE team ADD COLUMN motto text",
    "ALTER TABLE team ALTER COLUMN name DROP NOT NULL",
    "ALTER TABLE seat ALTER COLUMN number SET DEFAULT 1",
    "ALTER TABLE seat DROP CONSTRAINT seat_number",
    "ALTER TABLE team RENAME TO club",
    "DROP TABLE seat",
    "CREATE INDEX ON seat (team_id)",
    "CREATE TABLE copied AS SELECT * FROM country",
    "CREATE SCHEMA elsewhere CREATE TABLE t (id int)",
    "CREATE VIEW teams AS SELECT * FROM team",
    "CREATE TYPE colour AS ENUM ('red')",
    "CREATE DOMAIN short AS text CHECK (length(VALUE) < 9)",
    "CREATE OR REPLACE FUNCTION add_if_new(name text) RETURNS boolean"
    " LANGUAGE sql AS 'SELECT true'",
    "CREATE SEQUENCE another",
    "ALTER SEQUENCE plain_ticket RESTART WITH 100 INCREMENT BY 5",
    "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
    " CREATE TRIGGER nothing BEFORE DELETE ON team FOR EACH ROW EXECUTE FUNCTION nothing()",
    "CREATE RULE kept AS ON DELETE TO team DO INSTEAD NOTHING",
    "ALTER TABLE team ENABLE ROW LEVEL SECURITY; ALTER TABLE team FORCE ROW LEVEL SECURITY",
    "GRANT SELECT ON team TO PUBLIC",
    "CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM team",
    "TRUNCATE country RESTART IDENTITY CASCADE",
]


@scenario(31, sees=["after"], each=CHANGES)
def test_a_changed_schema_comes_back(env: Environment, statement: str) -> list[str]:
    """That it does is found by the check that follows each scenario."""
    with env.engine.begin() as connection:
        if "RENAME" not in statement:
            insert(connection, "before")
        connection.exec_driver_sql(statement)
    return ["after"]


@scenario(31, sees=["ProgrammingError 42P01", [(7,)], "ProgrammingError 42P01"])
def test_ddl_belongs_to_its_transaction(env: Environment) -> list[Any]:
    with env.engine.connect() as connection:
        execute(connection, "CREATE TABLE extra (id int)")
        connection.rollback()
        error = attempt(execute, connection, "SELECT id FROM extra")
        connection.rollback()
        execute(connection, "CREATE TABLE extra (id int)")
        execute(connection, "INSERT INTO extra VALUES (7)")
        connection.commit()
        seen = execute(connection, "SELECT id FROM extra")
        execute(connection, "DROP TABLE extra")
        connection.commit()
        return [error, seen, attempt(execute, connection, "SELECT id FROM extra")]


@scenario(
    31,
    sees=["NotSupportedError 0A000", ["id", "name"], ["id", "name", "motto"]],
    # psycopg forgets what it has prepared when it changes the schema on the same connection.
    rollback=Differs([["id", "name", "motto"], ["id", "name"], ["id", "name", "motto"]]),
)
def test_a_prepared_statement_whose_table_has_changed(env: Environment) -> list[Any]:
    env.add("red")
    connection = env.connect()

    def columns() -> Any:
        return list(connection.execute(sa.text("SELECT * FROM team")).keys())

    for _ in range(10):  # psycopg prepares a statement that it has sent five times
        before = columns()
    connection.commit()
    env.commit("ALTER TABLE team ADD COLUMN motto text")
    error = attempt(columns)
    connection.rollback()
    return [error, before, columns()]


@scenario(31, sees=[3, 0, []])
def test_a_truncate_is_undone_with_its_transaction(env: Environment) -> list[Any]:
    env.add("a", "b", "c")
    with env.engine.connect() as connection:
        execute(connection, "TRUNCATE team RESTART IDENTITY CASCADE")
        connection.rollback()
    before = len(env.names())
    env.commit("TRUNCATE team RESTART IDENTITY CASCADE")
    return [before, len(env.names()), env.rows("SELECT id FROM team")]


@scenario(
    32,
    sees=[None, ["a"]],
    rollback=Refused,
    each=[
        "VACUUM team",
        "VACUUM FULL country",
        "CREATE INDEX CONCURRENTLY ON team (name)",
        "REINDEX TABLE CONCURRENTLY team",
        "ALTER TYPE mood ADD VALUE 'bad'; SELECT 'bad'::mood",
    ],
)
def test_what_is_done_outside_of_a_transaction(env: Environment, statement: str) -> list[Any]:
    env.add("a")
    engine = env.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for one in statement.split("; "):
            done = attempt(execute, connection, one)
    return [done if isinstance(done, str) else None, env.names()]


@scenario(32, sees="OperationalError 55P04", rollback=Refused)
def test_a_new_value_of_an_enum_in_its_own_transaction(env: Environment) -> Any:
    connection = env.connect()
    execute(connection, "ALTER TYPE mood ADD VALUE 'bad'")
    return attempt(execute, connection, "SELECT 'bad'::mood")


@scenario(
    32, sees="InternalError 25001", each=["VACUUM", "CREATE INDEX CONCURRENTLY ON team (name)"]
)
def test_what_must_not_be_done_in_a_transaction(env: Environment, statement: str) -> Any:
    connection = env.connect()
    insert(connection, "a")
    return attempt(execute, connection, statement)
