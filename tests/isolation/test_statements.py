"""What the text of a statement tells of it."""

from __future__ import annotations

from typing import Any

import pytest

from flask_testbed.isolation.statements import (
    Effects,
    effects_of,
    function_sets,
    function_writes,
)


def told(text: str) -> set[str]:
    """The names of what a text may do."""
    effects = effects_of(text)
    return {name for name, value in vars(effects).items() if value and name != "words"}


READING = [
    "SELECT 1",
    "(select 1) union (select 2)",
    "SELECT * FROM agent FOR UPDATE SKIP LOCKED",
    "SELECT * FROM agent FOR NO KEY UPDATE",
    "WITH a AS (SELECT 1) SELECT * FROM a",
    "VALUES (1)",
    "SHOW search_path",
    "SELECT 'insert into x'",
    "SELECT $$ delete from x; commit $$",
    "SELECT $tag$ commit $tag$ -- ; rollback",
    "SELECT /* outer /* ; commit; */ */ 1",
    "SELECT E'it''s \\' ; commit; '",
    "SELECT updated_at, created_by FROM agent",
    'SELECT "commit" FROM "begin"',
    "",
    " ; ; ",
]


@pytest.mark.parametrize("text", READING)
def test_what_only_reads(text: str) -> None:
    assert told(text) == set()


WRITING = [
    "INSERT INTO x VALUES (1)",
    "with a as (insert into x values (1) returning id) select id from a",
    "WITH gone AS (DELETE FROM x RETURNING *) SELECT * FROM gone",
    "SELECT 1 AS a INTO x",
    "EXPLAIN ANALYZE UPDATE x SET a = 1",
    "COPY x FROM STDIN",
    "SAVEPOINT sa_savepoint_1",
    "ROLLBACK TO SAVEPOINT sa_savepoint_1",
    "RELEASE SAVEPOINT sa_savepoint_1",
    "rollback transaction to a",
    "SELECT lo_create(0)",
    "SELECT pg_advisory_xact_lock(1)",
    "LOCK TABLE x",
    "SELECT 1; UPDATE x SET a = 1",
    "something that nobody knows",
]


@pytest.mark.parametrize("text", WRITING)
def test_what_writes(text: str) -> None:
    assert told(text) == {"writes"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("COMMIT", "commit"),
        (" -- why\n /* not */ commit;", "commit"),
        ("SELECT 1; ROLLBACK", "rollback"),
        ("ROLLBACK AND CHAIN", "rollback"),
        ("END", "end"),
        ("ABORT", "abort"),
        ("BEGIN", "begin"),
        ("START TRANSACTION", "start"),
        ("PREPARE TRANSACTION 'x'", "prepare transaction"),
        ("COMMIT PREPARED 'x'", "commit prepared"),
        ("ROLLBACK PREPARED 'x'", "rollback prepared"),
    ],
)
def test_what_ends_or_begins_a_transaction(text: str, words: str) -> None:
    effects = effects_of(text)
    assert effects.control == words
    assert effects.two_phase == (" " in words)


@pytest.mark.parametrize(
    "text",
    [
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END",
        "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$",
    ],
)
def test_the_body_of_a_function_ends_nothing(text: str) -> None:
    assert told(text) == {"writes", "defines"}


@pytest.mark.parametrize(
    "text",
    [
        "SET search_path = other",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_lock_shared(1)",
        "LISTEN something",
        "PREPARE plan AS SELECT 1",
        "SELECT set_config('a.b', 'c', false)",
        "CREATE TEMPORARY TABLE x (a int)",
        "SELECT 1 AS a INTO TEMP x",
        "DO $$ BEGIN PERFORM pg_advisory_lock(1); END $$",
        "CALL p()",
    ],
)
def test_what_outlives_the_transaction_in_the_session(text: str) -> None:
    assert effects_of(text).session


@pytest.mark.parametrize(
    "text",
    [
        "SET LOCAL search_path = other",
        "SET CONSTRAINTS ALL DEFERRED",
        "SET TRANSACTION READ ONLY",
        "SELECT pg_advisory_xact_lock(1)",
        "CREATE TABLE x (a int)",
        "SELECT template FROM x",
    ],
)
def test_what_ends_with_the_transaction(text: str) -> None:
    assert not effects_of(text).session


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", True),
        ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", True),
        ("SET default_transaction_isolation = 'serializable'", True),
        ("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", False),
        ("SELECT 'serializable'", False),
    ],
)
def test_what_chooses_another_isolation_level(text: str, chosen: bool) -> None:
    assert effects_of(text).isolation == chosen


def test_a_cursor_and_a_read_only_transaction_write_nothing() -> None:
    assert told("DECLARE c CURSOR FOR SELECT 1") == {"declares"}
    assert told("set  transaction read only") == {"read_only"}


def test_the_words_are_those_outside_of_literals() -> None:
    assert effects_of("SELECT secretly_write('not this') -- nor this").words == {
        "select",
        "secretly_write",
    }
    assert effects_of("SELECT 1") == Effects(words=frozenset({"select"}))


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("SET LOCAL work_mem = '1MB'", None),
        ("set /* for now */ local app.user TO 'a'", None),
        ("SELECT 1; SET LOCAL a.b = 1", None),
        ("SELECT set_config('a.b', 'c', true)", None),
        ("SELECT set_config(%s, %s, %s)", ["a.b", "c", True]),
        ("SELECT set_config(%(n)s::VARCHAR, lower(%(v)s), %(l)s)", {"n": "a", "v": "c", "l": True}),
        ("SELECT set_config('a.b', coalesce('c', f(false)), true)", None),
        ("SELECT set_config('a.b', 'c', now() > 'now')", None),
        ("SELECT set_config(name, 'off', true) FROM x", None),
    ],
)
def test_what_is_set_until_the_end_of_the_transaction(text: str, parameters: Any) -> None:
    effects = effects_of(text).given(parameters)
    assert effects.sets
    assert not effects.writes


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("SELECT set_config('a.b', 'c', false)", None),
        ("SELECT set_config('a.b', lower('C'), 'off'::boolean)", None),
        ("SELECT %s, set_config(%s, %s, %s)", [1, "a.b", "c", False]),
        ("SELECT set_config(%(n)s, %(v)s, %(l)s)", {"n": "a.b", "v": "c", "l": False}),
    ],
)
def test_what_is_set_for_the_session_is_a_write(text: str, parameters: Any) -> None:
    effects = effects_of(text).given(parameters)
    assert effects.writes
    assert not effects.sets


def test_a_block_may_set_what_it_likes() -> None:
    assert effects_of("DO $$ BEGIN SET LOCAL a.b = 'c'; END $$").sets
    assert not effects_of("SELECT 'SET LOCAL a.b = 1'").sets


@pytest.mark.parametrize(
    ("source", "sets", "writes"),
    [
        ("BEGIN PERFORM set_config('a.b', name, true); END", True, False),
        ("SELECT set_config('a.b', name, true)", True, False),
        ("BEGIN SELECT id INTO found FROM tenant; SET LOCAL a.b = 1; END", True, False),
        ("BEGIN EXECUTE format('SET LOCAL a.b = %L', name); END", True, False),
        ("BEGIN EXECUTE command; SET LOCAL a.b = 1; END", True, True),
        ("BEGIN INSERT INTO log VALUES (1); SET LOCAL a.b = 1; END", True, True),
        ("BEGIN PERFORM write(1); SET LOCAL a.b = 1; END", True, True),
        ("BEGIN SET a.b = 1; SET LOCAL c.d = 1; END", True, True),
        ("BEGIN PERFORM set_config('a.b', name, false); END", False, True),
        ("BEGIN RETURN 1; END", False, False),
    ],
)
def test_what_the_body_of_a_function_does(source: str, sets: bool, writes: bool) -> None:
    assert function_sets(source) == sets
    assert function_writes(source, {"write"}) == writes
