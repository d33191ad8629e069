"""What the text of a statement tells of it."""

from __future__ import annotations

from typing import Any

import pytest

from flask_testbed.isolation.rollback.set_config import configured_locally
from flask_testbed.isolation.statements import Effects, effects_of


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
    ("text", "names"),
    [
        ("SET LOCAL work_mem = '1MB'", ("work_mem",)),
        ("set /* for now */ local app.user TO 'a'", ("app.user",)),
        ("SELECT 1; SET LOCAL a.b = 1; SET LOCAL c.d = 2", ("a.b", "c.d")),
        ("SET work_mem = '1MB'", ()),
        ("SELECT 'SET LOCAL a.b = 1'", ()),
    ],
)
def test_what_is_set_until_the_end_of_the_transaction(text: str, names: tuple[str, ...]) -> None:
    assert effects_of(text).local == names


@pytest.mark.parametrize(
    ("text", "parameters", "names"),
    [
        ("SELECT set_config('a.b', 'c', true)", None, ["a.b"]),
        ("SELECT set_config('a.b', 'c', false)", None, []),
        ("SELECT set_config(%s, %s, %s)", ["a.b", "c", True], ["a.b"]),
        ("SELECT %s, set_config(%s, %s, %s)", [1, "a.b", "c", False], []),
        (
            "SELECT set_config(%(n)s::VARCHAR, lower(%(v)s, 'x'), %(l)s::BOOLEAN)",
            {"n": "a.b", "v": "c", "l": True},
            ["a.b"],
        ),
        ("SELECT set_config('it''s', ',)', true), set_config('d', 'e', TRUE)", None, ["it's", "d"]),
        ("SELECT set_config('a.b', 'c', now() > 'now')", None, ["a.b"]),
        ("SELECT set_config(name, 'c', true) FROM x", None, []),
    ],
)
def test_what_set_config_sets(text: str, parameters: Any, names: list[str]) -> None:
    assert list(configured_locally(text, parameters)) == names
