"""Constraints that are checked late."""

from __future__ import annotations

from typing import Any

from tests.support.scenarios.environment import Environment, attempt, execute, insert
from tests.support.scenarios.scenario import scenario

_ORPHAN = "INSERT INTO member (team_id) VALUES (99)"


@scenario(27, sees=["IntegrityError 23503", [], []])
def test_a_deferred_key_is_checked_by_the_commit(env: Environment) -> list[Any]:
    connection = env.connect()
    insert(connection, "lost with it")
    execute(connection, _ORPHAN)
    error = attempt(connection.commit)
    connection.rollback()
    return [error, env.names(), env.rows("SELECT id FROM member")]


@scenario(27, sees=[None, 1])
def test_a_child_may_come_before_its_parent(env: Environment) -> list[Any]:
    connection = env.connect()
    execute(connection, _ORPHAN)
    execute(connection, "INSERT INTO team (id, name) VALUES (99, 'late')")
    done = attempt(connection.commit)
    return [done, len(env.rows("SELECT id FROM member"))]


@scenario(27, sees=["IntegrityError 23503", ["b"]])
def test_a_savepoint_checks_nothing(env: Environment) -> list[Any]:
    connection = env.connect()
    with connection.begin_nested():
        execute(connection, _ORPHAN)
    error = attempt(connection.commit)
    connection.rollback()
    insert(connection, "b")
    connection.commit()
    return [error, env.names()]


@scenario(27, sees=["IntegrityError 23503", []])
def test_what_is_deferred_is_checked_where_it_is_asked_for(env: Environment) -> list[Any]:
    connection = env.connect()
    execute(connection, _ORPHAN)
    error = attempt(execute, connection, "SET CONSTRAINTS ALL IMMEDIATE")
    connection.rollback()
    return [error, env.rows("SELECT id FROM member")]


_SWAP = "UPDATE seat SET number = number + 1"


@scenario(
    27,
    sees=["IntegrityError 23505", None, "IntegrityError 23505", [1, 2]],
    each=["SET CONSTRAINTS seat_number DEFERRED", "SET CONSTRAINTS ALL DEFERRED"],
)
def test_set_constraints_ends_with_its_transaction(env: Environment, defer: str) -> list[Any]:
    env.commit("INSERT INTO seat (number) VALUES (1), (2)")
    duplicate = "INSERT INTO seat (number) VALUES (1)"
    connection = env.connect()
    seen = [attempt(execute, connection, duplicate)]
    connection.rollback()
    execute(connection, defer)
    seen.append(attempt(execute, connection, duplicate))
    execute(connection, "DELETE FROM seat WHERE id = (SELECT max(id) FROM seat)")
    connection.commit()
    seen.append(attempt(execute, connection, duplicate))
    connection.rollback()
    return [*seen, env.rows("SELECT number FROM seat ORDER BY number")]


@scenario(27, sees=["IntegrityError 23505", [1]])
def test_what_was_deferred_by_hand_is_checked_by_the_commit(env: Environment) -> list[Any]:
    env.commit("INSERT INTO seat (number) VALUES (1)")
    connection = env.connect()
    execute(connection, "SET CONSTRAINTS ALL DEFERRED")
    execute(connection, "INSERT INTO seat (number) VALUES (1)")
    error = attempt(connection.commit)
    connection.rollback()
    return [error, env.rows("SELECT number FROM seat")]


@scenario(27, sees=[])
def test_what_is_deferred_and_never_committed_is_of_no_consequence(env: Environment) -> list[Any]:
    """At the end of a test it is undone, as by a session that is closed."""
    execute(env.connect(), _ORPHAN)
    return []
