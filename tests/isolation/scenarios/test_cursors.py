"""Cursors in the server, and COPY."""

from __future__ import annotations

from typing import Any

import psycopg
import sqlalchemy as sa

from tests.support.scenarios.environment import Environment, attempt, execute, insert
from tests.support.scenarios.scenario import scenario


def _driver(env: Environment) -> psycopg.Connection[Any]:
    connection = env.raw().dbapi_connection
    assert isinstance(connection, psycopg.Connection)
    return connection


@scenario(29, sees=[1000, 499500, ["red"]])
def test_rows_are_streamed(env: Environment) -> list[Any]:
    with env.engine.connect() as connection:
        select = sa.text("SELECT generate_series(0, 999)")
        numbers = list(connection.scalars(select, execution_options={"yield_per": 100}))
        insert(connection, "red")
        connection.commit()
    return [len(numbers), sum(numbers), env.names()]


@scenario(29, sees=[[0, 1], ["red"], [2, 3], 96])
def test_somebody_commits_while_rows_are_streamed(env: Environment) -> list[Any]:
    options = {"stream_results": True, "max_row_buffer": 2}
    select = sa.text("SELECT generate_series(0, 99)")
    rows = env.connect().scalars(select, execution_options=options)
    seen: list[Any] = [rows.fetchmany(2)]
    env.add("red")
    seen += [env.names(), rows.fetchmany(2)]
    return [*seen, len(rows.all())]


@scenario(29, sees=[[(0,), (1,)], [(3,)], [(2,)]])
def test_a_cursor_with_a_name(env: Environment) -> list[Any]:
    with _driver(env).cursor("mine", scrollable=True) as cursor:
        cursor.execute("SELECT generate_series(0, 9)")
        seen = [cursor.fetchmany(2)]
        cursor.scroll(1)
        seen.append([cursor.fetchone()])
        cursor.scroll(-2)
        return [*seen, [cursor.fetchone()]]


@scenario(29, sees=[[(1,)], "ProgrammingError 34000"])
def test_a_cursor_after_the_commit(env: Environment) -> list[Any]:
    connection = env.connect()
    execute(connection, "DECLARE mine CURSOR FOR SELECT generate_series(1, 3)")
    seen = [execute(connection, "FETCH mine")]
    connection.commit()
    return [*seen, attempt(execute, connection, "FETCH mine")]


@scenario(33, sees=[["a", "b"], "id,name", 2])
def test_rows_are_copied_in_and_out(env: Environment) -> list[Any]:
    connection = _driver(env)
    with connection.cursor().copy("COPY team (name) FROM STDIN") as copy:
        for name in ("a", "b"):
            copy.write_row([name])
    connection.commit()
    with connection.cursor().copy("COPY team TO STDOUT (FORMAT csv, HEADER)") as copy:
        lines = b"".join(copy).decode().splitlines()
    return [env.names(), lines[0], len(lines) - 1]


@scenario(33, sees=["UniqueViolation 23505", "InFailedSqlTransaction 25P02", ["a"], ["a", "z"]])
def test_a_copy_that_fails_half_way(env: Environment) -> list[Any]:
    env.add("a")
    connection = _driver(env)

    def copy_in() -> None:
        with connection.cursor().copy("COPY team (name) FROM STDIN") as copy:
            for name in ("x", "a", "y"):
                copy.write_row([name])

    errors = [attempt(copy_in), attempt(connection.execute, "SELECT 1")]
    connection.rollback()
    seen = env.names()
    env.add("z")
    return [*errors, seen, env.names()]


@scenario(33, sees=["ZeroDivisionError", [], ["z"]])
def test_a_copy_that_the_application_breaks_off(env: Environment) -> list[Any]:
    connection = _driver(env)

    def copy_in() -> None:
        with connection.cursor().copy("COPY team (name) FROM STDIN") as copy:
            copy.write_row(["x"])
            copy.write_row([1 // 0])

    error = attempt(copy_in)
    connection.rollback()
    seen = env.names()
    env.add("z")
    return [error, seen, env.names()]


@scenario(33, sees=[3, ["a", "b", "c"]])
def test_many_rows_in_one_call(env: Environment) -> list[Any]:
    connection = _driver(env)
    cursor = connection.cursor()
    cursor.executemany("INSERT INTO team (name) VALUES (%s)", [["a"], ["b"], ["c"]])
    count = cursor.rowcount
    connection.commit()
    return [count, env.names()]


@scenario(33, sees=["UniqueViolation 23505", []])
def test_many_rows_in_one_call_that_fails(env: Environment) -> list[Any]:
    connection = _driver(env)
    rows = [["a"], ["b"], ["a"]]
    error = attempt(connection.cursor().executemany, "INSERT INTO team (name) VALUES (%s)", rows)
    connection.rollback()
    return [error, env.names()]


@scenario(33, sees=[[(1,)], [(2,)], ["a"]])
def test_a_pipeline(env: Environment) -> list[Any]:
    connection = _driver(env)
    with connection.pipeline():
        first = connection.execute("SELECT 1")
        connection.execute("INSERT INTO team (name) VALUES ('a')")
        second = connection.execute("SELECT 2")
        seen = [first.fetchall(), second.fetchall()]
    connection.commit()
    return [*seen, env.names()]
