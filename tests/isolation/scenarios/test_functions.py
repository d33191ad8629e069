"""What a statement does without saying so: functions, operators, aggregates, views and policies."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from tests.support.scenarios.environment import Environment, execute, insert
from tests.support.scenarios.scenario import scenario

_OBJECTS = """
CREATE FUNCTION note(name text) RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO team (name) VALUES (note.name); RETURN true; END $$;
CREATE FUNCTION "Write It"(name text) RETURNS boolean LANGUAGE sql AS 'SELECT note(name)';
CREATE FUNCTION ändere(name text) RETURNS boolean LANGUAGE sql BEGIN ATOMIC SELECT note(name); END;
CREATE FUNCTION stable_note(name text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
    BEGIN RETURN "Write It"(name); END $$;
CREATE FUNCTION dynamic(name text) RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN EXECUTE format('INSERT INTO team (name) VALUES (%L)', name); RETURN true; END $$;
CREATE OPERATOR +! (RIGHTARG = text, FUNCTION = note);
CREATE FUNCTION note_step(state boolean, name text) RETURNS boolean LANGUAGE sql
    AS 'SELECT note(name)';
CREATE AGGREGATE note_all (text) (SFUNC = note_step, STYPE = boolean);
CREATE VIEW noting AS SELECT +! 'a'::text;
CREATE VIEW noting_too AS SELECT * FROM noting;
CREATE DOMAIN noted AS text CHECK (note(VALUE));
CREATE VIEW "Quiet" AS SELECT 1;
CREATE FUNCTION of_extension(name text) RETURNS boolean LANGUAGE sql AS 'SELECT note(name)';
CREATE EXTENSION IF NOT EXISTS citext;
ALTER EXTENSION citext ADD FUNCTION of_extension(text)
"""

WRITING = [
    "SELECT note('a')",
    "SELECT \"Write It\"('a')",
    "SELECT ändere('a')",
    "SELECT äNDERE('a')",
    "SELECT stable_note('a')",
    "SELECT dynamic('a')",
    "SELECT +! 'a'::text",
    "SELECT operator(public.+!) 'a'::text",
    "SELECT note_all(x) FROM (VALUES ('a')) v (x)",
    "TABLE noting",
    "SELECT * FROM noting_too",
    "SELECT 'a'::noted",
    "SELECT of_extension('a')",
]


def _make(env: Environment, objects: str) -> None:
    raw: Any = env.raw()
    for statement in objects.split(";\n"):
        raw.dbapi_connection.execute(statement)
    raw.commit()
    raw.close()


@scenario(5, sees=[[], ["a"]], each=WRITING)
def test_what_a_function_writes_belongs_to_its_transaction(
    env: Environment, statement: str
) -> list[Any]:
    _make(env, _OBJECTS)
    connection = env.connect()
    execute(connection, statement)
    env.rows("SELECT 1")
    connection.rollback()
    seen = [env.names()]
    execute(connection, statement)
    connection.commit()
    with env.engine.connect() as other:
        insert(other, "lost")
    return [*seen, env.names()]


_READING = """
CREATE FUNCTION current_tenant() RETURNS text LANGUAGE plpgsql AS $$
    BEGIN RETURN coalesce(current_setting('app.tenant', true), 'none'); END $$;
CREATE FUNCTION twice(number int) RETURNS int LANGUAGE sql AS 'SELECT 2 * number';
ALTER TABLE seat ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON seat USING (current_tenant() <> '')
"""


@scenario(5, sees=["none", 4, 0, ["a", "b"]])
def test_volatile_functions_that_only_read(env: Environment) -> list[Any]:
    """As functions are volatile that say nothing else, they must not count as writers."""
    _make(env, _READING)
    reader = env.connect()
    seen = [reader.scalar(sa.text("SELECT current_tenant()"))]
    seen.append(reader.scalar(sa.text("SELECT twice(2)")))
    seen.append(reader.scalar(sa.text("SELECT count(*) FROM seat")))
    env.add("a")
    reader.rollback()
    env.add("b")
    return [*seen, env.names()]
