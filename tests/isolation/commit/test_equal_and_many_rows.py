"""Rows that are counted and compared: many of them, equal ones, NULLs, types without equality."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from flask_testbed.embedded.server import EmbeddedServer
from flask_testbed.isolation.commit.install import install
from flask_testbed.isolation.commit.leaks import Horizons, Leak, find_leaks
from flask_testbed.isolation.commit.reset import prepare, reset
from flask_testbed.postgres.connecting import Connection, connect_parameters

INSTANCE = Path(__file__).resolve().parents[3] / "instance"

#: So many that the memory of a statement does not hold them, and that comparing each row with each
#: other one takes longer than a statement may.
MANY = 50_000
LIMITS = "SET work_mem = '64kB'; SET statement_timeout = '15s'"
TABLES = [
    "CREATE TABLE word (text text, facts json)",
    "INSERT INTO word VALUES ('once', NULL), ('twice', NULL), ('twice', NULL), (NULL, NULL),"
    " ('json', '{\"a\": 1}')",
    "CREATE TABLE equal (text text, facts json)",
    "CREATE TABLE place (id int PRIMARY KEY, name text, facts json)",
    "INSERT INTO place SELECT n, 'place ' || md5(n::text), '[]' FROM generate_series(1, 50000) n",
]


@pytest.fixture(scope="module")
def prepared() -> Iterator[Connection]:
    """A connection for resets to a database of the module's own."""
    server = EmbeddedServer(INSTANCE, "test")
    server.start()
    name = f"rows_{os.getpid()}"

    def connect(database: str) -> Connection:
        return psycopg.connect(autocommit=True, **connect_parameters(server.url(database)))

    with closing(connect("postgres")) as administrator:
        administrator.execute(f"CREATE DATABASE {name}")
        with closing(connect(name)) as connection:
            for statement in TABLES:
                connection.execute(statement)
            install(connection)
            # The statements of the tests name no schema.
            prepare(connection).execute("SET search_path = pg_catalog, public")
            yield connection
        administrator.execute(f"DROP DATABASE {name}")
    server.release()


@pytest.fixture
def connection(prepared: Connection) -> Iterator[Connection]:
    """The same, with the database as it was at the start."""
    yield prepared
    prepared.execute("RESET work_mem; RESET statement_timeout")
    prepared.execute("SELECT flask_testbed.forget_layers(true)")
    reset(prepared, [])


# Leaks


@pytest.mark.parametrize(
    ("statement", "added", "missing"),
    [
        ("INSERT INTO word VALUES ('twice', NULL)", 1, 0),
        ("INSERT INTO word VALUES ('once', NULL), ('once', NULL)", 2, 0),
        ("INSERT INTO word VALUES (NULL, NULL)", 1, 0),
        ("DELETE FROM word WHERE ctid = (SELECT min(ctid) FROM word WHERE text = 'twice')", 0, 1),
        ("DELETE FROM word WHERE text IS NULL", 0, 1),
        ("DELETE FROM word", 0, 5),
        ("UPDATE word SET text = '' WHERE text IS NULL", 1, 1),
        ("UPDATE word SET facts = 'null' WHERE text = 'once'", 1, 1),
        ("""UPDATE word SET facts = '{"a": 2}' WHERE facts IS NOT NULL""", 1, 1),
        ("INSERT INTO word SELECT * FROM word", 5, 0),
    ],
)
def test_each_row_counts_as_often_as_it_is_there(
    connection: Connection, statement: str, added: int, missing: int
) -> None:
    connection.execute(statement)

    assert find_leaks(connection, Horizons()) == [Leak("public.word", added, missing, None)]


def test_rows_that_are_written_anew_are_no_leak(connection: Connection) -> None:
    connection.execute("UPDATE word SET text = text")
    connection.execute("INSERT INTO word VALUES ('new', NULL)")
    connection.execute("DELETE FROM word WHERE text = 'new'")

    assert find_leaks(connection, Horizons()) == []


def test_the_leak_is_of_the_test_that_wrote_an_equal_row(connection: Connection) -> None:
    horizons = Horizons()
    for test, statement in [
        ("test_before", "UPDATE word SET text = text WHERE text = 'once'"),
        ("test_guilty", "INSERT INTO word VALUES ('twice', NULL)"),
        ("test_after", "UPDATE word SET text = text WHERE text = 'once'"),
    ]:
        connection.execute(statement)
        [(end,)] = connection.execute("SELECT pg_current_xact_id()::text::bigint").fetchall()
        horizons.add(end, test)

    assert find_leaks(connection, horizons) == [Leak("public.word", 1, 0, "test_guilty")]


def test_many_rows_are_compared_in_linear_time(connection: Connection) -> None:
    connection.execute(LIMITS)
    assert find_leaks(connection, Horizons()) == []

    connection.execute("UPDATE place SET name = 'changed' WHERE id % 2 = 0")

    assert find_leaks(connection, Horizons()) == [Leak("public.place", MANY // 2, MANY // 2, None)]


# A layer that is popped from below another


def push(connection: Connection, number: int, *statements: str) -> None:
    for statement in statements:
        connection.execute(statement)
    connection.execute("SELECT flask_testbed.push_layer(%s, false)", [number])


def pop(connection: Connection, number: int) -> None:
    connection.execute("SELECT flask_testbed.pop_layer(%s)", [number])
    reset(connection, [])


@pytest.mark.parametrize("others", [0, 1])
@pytest.mark.parametrize(
    ("below", "popped", "above", "left"),
    [
        (0, 1, 1, 0),
        (0, 1, 2, 1),
        (0, 2, 1, 0),
        (0, 2, 2, 0),
        (1, 0, 0, 1),
        (1, 2, 2, 1),
        (1, 2, 3, 2),
        (2, 0, 0, 2),
        (2, 1, 1, 2),
        (2, 2, 3, 3),
    ],
)
def test_equal_rows_are_undone_as_often_as_the_popped_layer_wrote_them(
    connection: Connection, below: int, popped: int, above: int, left: int, others: int
) -> None:
    other = "INSERT INTO equal SELECT 'other', '[]' FROM generate_series(1, %s)"
    insert = "INSERT INTO equal SELECT NULL, '{}' FROM generate_series(1, %s)"
    connection.execute(other, [others])
    for number, count in enumerate([below, popped, above], start=1):
        connection.execute("DELETE FROM equal WHERE text IS NULL")
        connection.execute(insert, [count])
        push(connection, number)

    pop(connection, 2)

    count_all = "SELECT count(*) FILTER (WHERE text IS NULL), count(*) FROM equal"
    assert connection.execute(count_all).fetchone() == (left, left + others)


def test_a_layer_of_many_rows_is_undone_in_linear_time(connection: Connection) -> None:
    push(connection, 1, "UPDATE place SET name = 'of the first' WHERE id % 2 = 0")
    push(connection, 2, "UPDATE place SET name = 'of the second' WHERE id % 3 = 0")
    connection.execute(LIMITS)

    pop(connection, 1)

    query = "SELECT name LIKE 'place%', count(*) FROM place GROUP BY 1 ORDER BY 1"
    assert connection.execute(query).fetchall() == [(False, MANY // 3), (True, MANY - MANY // 3)]
    query = "SELECT count(*) FROM place WHERE name = 'of the first'"
    assert connection.execute(query).fetchone() == (0,)
