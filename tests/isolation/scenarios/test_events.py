"""What an application hears of its own transactions, and how many statements it sends."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from flask_testbed.pytest_plugin.queries import assert_queries, recorded_queries
from tests.support.scenarios.environment import Environment, attempt, execute, insert, teams
from tests.support.scenarios.scenario import scenario
from tests.support.scenarios.toy import Team, db

_OF_A_SESSION = ("after_begin", "before_commit", "after_commit", "after_rollback", "after_flush")
_OF_AN_ENGINE = ("begin", "commit", "rollback", "savepoint", "release_savepoint")


@scenario(
    35,
    sees=[
        ["before_commit", "after_begin", "after_flush", "after_commit"],
        ["after_begin", "after_flush", "after_rollback"],
        ["before_commit", "after_begin"],
    ],
)
def test_events_of_a_session(env: Environment) -> list[Any]:
    session, seen = env.session(), []
    for name in _OF_A_SESSION:
        sa.event.listen(session, name, lambda *_, name=name: seen.append(name))
    session.add(Team(name="red"))
    session.commit()
    committed, seen[:] = list(seen), []
    session.add(Team(name="blue"))
    session.flush()
    session.rollback()
    rolled_back, seen[:] = list(seen), []
    session.add(Team(name="red"))
    assert attempt(session.commit) == "IntegrityError 23505"
    return [committed, rolled_back, seen[:2]]


@scenario(
    35,
    sees=["begin", "savepoint", "release_savepoint", "commit", "begin", "rollback"],
)
def test_events_of_an_engine(env: Environment) -> list[str]:
    engine, seen = env.own_engine(), []
    for name in _OF_AN_ENGINE:
        sa.event.listen(engine, name, lambda *_, name=name: seen.append(name))
    with engine.begin() as connection, connection.begin_nested():
        insert(connection, "a")
    with engine.connect() as connection:
        insert(connection, "b")
    return seen


@scenario(
    35,
    sees=[
        ["SELECT name FROM team ORDER BY name"],
        ["INSERT INTO team (name) VALUES (%(name)s)", "SELECT name FROM team ORDER BY name"],
    ],
)
def test_only_the_applications_own_statements_are_counted(env: Environment) -> list[Any]:
    with recorded_queries() as first:
        env.names()
    with recorded_queries() as second, env.engine.begin() as connection:
        with connection.begin_nested():
            insert(connection, "a")
        teams(connection)
    strip = "::VARCHAR"
    return [[query.statement.replace(strip, "") for query in one] for one in (first, second)]


@scenario(35, sees=["ok", "AssertionError"])
def test_the_number_of_statements(env: Environment) -> list[str]:
    def count(number: int) -> str:
        with assert_queries(number), Session(env.engine) as session:
            session.add(Team(name=f"team {number}"))
            session.commit()
        return "ok"

    return [attempt(count, 1), attempt(count, 2)]


@scenario(35, sees=[["SELECT 1"], ["SELECT 1"]])
def test_statements_that_an_event_changes(env: Environment) -> list[Any]:
    engine, seen = env.own_engine(), []

    @sa.event.listens_for(engine, "before_cursor_execute", retval=True)
    def comment(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> tuple[str, Any]:
        seen.append(statement)
        return f"/* mine */ {statement}", parameters

    with engine.connect() as connection:
        execute(connection, "SELECT 1")
        cursor = connection.exec_driver_sql("SELECT 1")
        cursor.close()
    return [seen[:1], seen[1:]]


@scenario(35, sees=["before", ["hook", "red"]])
def test_a_hook_after_the_commit_writes_in_another_session(env: Environment) -> list[Any]:
    with env.app.app_context():
        session = db.session()
        order = ["before"]

        def hook(_: Any) -> None:
            env.add("hook")

        sa.event.listen(session, "after_commit", hook, once=True)
        session.add(Team(name="red"))
        session.commit()
    return [*order, env.names()]
