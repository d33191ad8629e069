"""Isolation levels, and transactions that an application ends by statements of its own."""

from __future__ import annotations

from typing import Any

import psycopg
import sqlalchemy as sa

from tests.support.scenarios.environment import Environment, attempt, execute, insert, teams
from tests.support.scenarios.scenario import Refused, scenario


@scenario(14, sees=[[], [], ["red"]], rollback=Refused, each=["REPEATABLE READ", "SERIALIZABLE"])
def test_a_snapshot_does_not_move(env: Environment, level: str) -> list[Any]:
    reader = env.connect().execution_options(isolation_level=level)
    seen = [teams(reader)]
    env.add("red")
    seen.append(teams(reader))
    reader.rollback()
    return [*seen, teams(reader)]


@scenario(14, sees=["OperationalError 40001", []], rollback=Refused)
def test_a_serialization_failure(env: Environment) -> list[Any]:
    first = env.connect().execution_options(isolation_level="SERIALIZABLE")
    second = env.connect().execution_options(isolation_level="SERIALIZABLE")
    for connection in (first, second):
        execute(
            connection, "INSERT INTO seat (number) SELECT count(*) + pg_backend_pid() FROM seat"
        )
    first.commit()
    return [attempt(second.commit), env.names()]


@scenario(
    14,
    sees="serializable",
    rollback=Refused,
    each=[
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "set /* x */ transaction isolation level serializable, read write",
        "SET LOCAL transaction_isolation = 'serializable'",
        "SET transaction_isolation TO serializable",
    ],
)
def test_a_level_that_is_chosen_by_a_statement(env: Environment, statement: str) -> Any:
    connection = env.connect()
    execute(connection, statement)
    return connection.scalar(sa.text("SHOW transaction_isolation"))


@scenario(14, sees=["InternalError 25006", ["a"], ["a", "b"]])
def test_read_only_ends_with_its_transaction(env: Environment) -> list[Any]:
    env.add("a")
    connection = env.engine.connect().execution_options(postgresql_readonly=True)
    with connection:
        error = attempt(insert, connection, "lost")
        connection.rollback()
        seen = teams(connection)
    with env.engine.begin() as connection:
        insert(connection, "b")
    return [error, seen, env.names()]


@scenario(
    14,
    sees=["InternalError 25006", ["a"]],
    each=["SET TRANSACTION READ ONLY", "SET LOCAL transaction_read_only = on"],
)
def test_read_only_by_a_statement_ends_with_its_transaction(
    env: Environment, statement: str
) -> list[Any]:
    connection = env.connect()
    execute(connection, statement)
    error = attempt(insert, connection, "lost")
    connection.rollback()
    insert(connection, "a")
    connection.commit()
    return [error, env.names()]


@scenario(
    15,
    sees=["a"],
    rollback=Refused,
    each=[
        "COMMIT",
        "  commit ;",
        "/* of /* the */ test */ Commit Work",
        "-- now\nEND TRANSACTION",
        "SELECT 1; COMMIT",
        "SELECT ';--'; COMMIT",
        "COMMIT AND CHAIN",
    ],
)
def test_a_commit_that_is_text(env: Environment, statement: str) -> list[str]:
    connection: Any = env.raw().dbapi_connection
    connection.execute("INSERT INTO team (name) VALUES ('a')")
    connection.execute(statement)
    connection.rollback()
    return env.names()


@scenario(15, sees=[], rollback=Refused, each=["ROLLBACK", "abort", "ROLLBACK AND CHAIN"])
def test_a_rollback_that_is_text(env: Environment, statement: str) -> list[str]:
    with env.engine.connect() as connection:
        insert(connection, "a")
        execute(connection, statement)
        connection.commit()
    return env.names()


@scenario(15, sees=["a", "b"], rollback=Refused)
def test_a_text_that_begins_and_commits(env: Environment) -> list[str]:
    connection: Any = env.raw().dbapi_connection
    connection.autocommit = True
    connection.execute(
        "BEGIN; INSERT INTO team (name) VALUES ('a'); COMMIT;"
        " START TRANSACTION; INSERT INTO team (name) VALUES ('lost'); ROLLBACK;"
        " INSERT INTO team (name) VALUES ('b')"
    )
    connection.autocommit = False
    return env.names()


@scenario(
    15,
    sees=[None, ["a"]],
    rollback=Refused,
    each=[
        "CALL found('a')",
        "DO $$ BEGIN INSERT INTO team (name) VALUES ('a'); COMMIT; END $$",
        "DO $$ BEGIN CALL found('a'); END $$",
    ],
)
def test_a_procedure_that_commits(env: Environment, statement: str) -> list[Any]:
    engine = env.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        done = attempt(execute, connection, statement)
    return [done, env.names()]


@scenario(15, sees=["InternalError 2D000", []])
def test_a_procedure_that_commits_must_not_be_called_in_a_transaction(
    env: Environment,
) -> list[Any]:
    connection = env.connect()
    error = attempt(execute, connection, "CALL found('a')")
    connection.rollback()
    return [error, env.names()]


@scenario(15, sees=[["a"], [True], [False]])
def test_procedures_and_functions_that_do_not_commit(env: Environment) -> list[Any]:
    env.commit("CALL add_team('a')")
    seen = env.names()
    with env.engine.begin() as connection:
        added = [
            connection.scalar(sa.text("SELECT add_if_new('b')")),
            connection.scalar(sa.text("SELECT add_if_new('a')")),
        ]
    return [seen, added[:1], added[1:]]


@scenario(15, sees=["-- COMMIT", "/* COMMIT */", "COMMIT", "x; COMMIT;"])
def test_a_text_that_only_mentions_a_commit(env: Environment) -> list[str]:
    with env.engine.begin() as connection:
        execute(connection, "/* COMMIT; */ SELECT 'COMMIT' AS commit -- ; COMMIT")
        execute(connection, 'SELECT 1 AS "COMMIT", $$; COMMIT$$, $a$; ROLLBACK $b$ $a$')
        for name in ("COMMIT", "x; COMMIT;", "-- COMMIT", "/* COMMIT */"):
            insert(connection, name)
    return sorted(env.names())


@scenario(15, sees=[["a", "b"], ["a", "b"], ["a", "b", "d"]])
def test_transactions_of_psycopg(env: Environment) -> list[Any]:
    connection: Any = env.raw().dbapi_connection

    def add(name: str) -> None:
        connection.execute("INSERT INTO team (name) VALUES (%s)", [name])

    with connection.transaction():
        add("a")
        with connection.transaction(force_rollback=True):
            add("lost")
        with connection.transaction("mine"):
            add("b")
    seen = [env.names()]
    with connection.transaction() as block:
        add("lost")
        raise psycopg.Rollback(block)
    seen.append(env.names())
    add("d")
    with connection.transaction():
        pass
    connection.commit()
    return [*seen, env.names()]


@scenario(15, sees=["UniqueViolation 23505", ["a"]])
def test_a_transaction_of_psycopg_that_fails(env: Environment) -> list[Any]:
    connection: Any = env.raw().dbapi_connection
    connection.autocommit = True

    def fail() -> None:
        with connection.transaction():
            connection.execute("INSERT INTO team (name) VALUES ('b')")
            connection.execute("INSERT INTO team (name) VALUES ('a')")

    connection.execute("INSERT INTO team (name) VALUES ('a')")
    error = attempt(fail)
    connection.autocommit = False
    return [error, env.names()]


@scenario(16, sees=["NotSupportedError", []], rollback=Refused)
def test_two_phases_on_a_server_that_is_not_set_up_for_them(env: Environment) -> list[Any]:
    connection = env.connect()
    transaction = connection.begin_twophase("mine")
    insert(connection, "red")
    error = attempt(transaction.prepare)
    attempt(transaction.rollback)
    connection.invalidate()
    return [error, env.names()]


@scenario(
    16,
    sees="ObjectNotInPrerequisiteState 55000",
    rollback=Refused,
    each=["PREPARE TRANSACTION 'mine'", "/* */ prepare transaction 'mine'"],
)
def test_two_phases_by_a_statement(env: Environment, statement: str) -> Any:
    connection: Any = env.raw().dbapi_connection
    connection.execute("INSERT INTO team (name) VALUES ('red')")
    return attempt(connection.execute, statement)
