"""What a transaction keeps, and what it loses."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from tests.support.scenarios.environment import (
    Environment,
    attempt,
    execute,
    in_thread,
    insert,
    teams,
)
from tests.support.scenarios.scenario import Differs, Refused, scenario
from tests.support.scenarios.toy import Team, db


@scenario(1, sees=[{"added": "red", "by": "POST"}, ["red"], ["red"], ["red"], ["red"]])
def test_what_a_request_commits_is_seen_by_all(env: Environment) -> list[Any]:
    answer = env.request("/teams/red")
    with env.app.app_context():
        in_context = list(db.session.scalars(sa.select(Team.name)))
    return [answer, in_context, env.names(), in_thread(env.names), env.request("/teams", "GET")]


@scenario(1, sees=[["red"], ["red", "yellow"]])
def test_a_commit_survives_the_failure_of_a_later_request(env: Environment) -> list[Any]:
    env.request("/teams/red")
    assert env.request("/broken/blue") == 500
    seen = env.names()
    env.request("/teams/yellow")
    return [seen, env.names()]


@scenario(2, sees=["IntegrityError 23505", "PendingRollbackError", ["red"], ["green", "red"]])
def test_an_integrity_error_loses_its_own_transaction_alone(env: Environment) -> list[Any]:
    with env.app.app_context():
        db.session.add(Team(name="red"))
        db.session.commit()
        db.session.add_all([Team(name="blue"), Team(name="red")])
        errors = [attempt(db.session.flush), attempt(db.session.scalars, sa.select(Team))]
        db.session.rollback()
        before = env.names()
        db.session.add(Team(name="green"))
        db.session.commit()
    return [*errors, before, env.names()]


@scenario(2, sees=["IntegrityError 23505", "InternalError 25P02", ["red"], ["green", "red"]])
def test_after_an_error_nothing_is_done_until_the_rollback(env: Environment) -> list[Any]:
    env.add("red")
    connection = env.connect()
    insert(connection, "blue")
    errors = [attempt(insert, connection, "red"), attempt(insert, connection, "green")]
    connection.rollback()
    before = env.names()
    insert(connection, "green")
    connection.commit()
    return [*errors, before, env.names()]


@scenario(3, sees=[[], []], each=["remove", "close", "rollback", "teardown"])
def test_what_was_only_flushed_is_discarded(env: Environment, end: str) -> list[Any]:
    with env.app.app_context():
        db.session.add(Team(name="red"))
        db.session.flush()
        if end != "teardown":
            getattr(db.session, end)()
        seen = list(db.session.scalars(sa.select(Team.name))) if end != "teardown" else []
    return [seen, env.names()]


@scenario(4, sees=["IntegrityError 23505", ["blue", "red"]])
def test_a_nested_transaction_loses_only_its_own_part(env: Environment) -> list[Any]:
    def fail() -> None:
        with db.session.begin_nested():
            db.session.add_all([Team(name="green"), Team(name="red")])

    with env.app.app_context():
        db.session.add(Team(name="red"))
        with db.session.begin_nested():
            db.session.add(Team(name="blue"))
        error = attempt(fail)
        db.session.commit()
    return [error, env.names()]


@scenario(4, sees=[["a", "b", "c"], ["a"], []])
def test_what_is_nested_is_lost_with_what_surrounds_it(env: Environment) -> list[Any]:
    with env.connect() as connection:
        insert(connection, "a")
        outer = connection.begin_nested()
        insert(connection, "b")
        with connection.begin_nested():
            insert(connection, "c")
        seen = [teams(connection)]
        outer.rollback()
        seen.append(teams(connection))
        connection.rollback()
    return [*seen, env.names()]


@scenario(4, sees=[["a", "b"], ["a"], ["a"], "OperationalError 3B001", ["a", "d"]])
def test_savepoints_that_the_application_writes_itself(env: Environment) -> list[Any]:
    with env.engine.begin() as connection:
        insert(connection, "a")
        execute(connection, "SAVEPOINT testbed_1")
        insert(connection, "b")
        seen = [teams(connection)]
        for statement in ("ROLLBACK TO testbed_1", "rollback /* again */ to savepoint testbed_1"):
            execute(connection, statement)
            seen.append(teams(connection))
    with env.engine.begin() as connection:
        insert(connection, "d")
        inner = connection.begin_nested()
        error = attempt(execute, connection, "ROLLBACK TO testbed_99")
        inner.rollback()
    return [*seen, error, env.names()]


@scenario(5, sees=[[], ["red"]], each=["rollback", "commit", "close"])
def test_a_reader_that_ends_takes_nobodys_commit_with_it(env: Environment, end: str) -> list[Any]:
    reader = env.session()
    before = teams(reader)
    with Session(env.engine) as writer:
        insert(writer, "red")
        writer.commit()
    getattr(reader, end)()
    return [before, env.names()]


@scenario(5, sees=[[], ["a"], ["a"], ["a", "b"], ["a", "b"], ["a", "b", "c"]])
def test_readers_come_and_go_between_commits(env: Environment) -> list[Any]:
    first, second = env.connect(), env.connect()
    seen = [teams(first)]
    env.add("a")
    seen.append(teams(second))
    first.rollback()
    seen.append(teams(first))
    env.add("b")
    second.rollback()
    seen.append(teams(first))
    first.commit()
    seen.append(env.names())
    insert(second, "c")
    second.commit()
    return [*seen, env.names()]


@scenario(5, sees=[["red"], ["red", "reader"]])
def test_a_reader_may_write_after_somebody_elses_commit(env: Environment) -> list[Any]:
    reader = env.connect()
    teams(reader)
    env.add("red")
    insert(reader, "reader")
    reader.rollback()
    seen = env.names()
    teams(reader)
    insert(reader, "reader")
    reader.commit()
    return [seen, sorted(env.names(), key=len)]


@scenario(6, sees=["a", "b"], rollback=Refused)
def test_two_writers_that_end_first_in_first_out(env: Environment) -> list[str]:
    first, second = env.connect(), env.connect()
    insert(first, "a")
    insert(second, "b")
    first.commit()
    second.commit()
    return env.names()


@scenario(6, sees=["b"], rollback=Refused)
def test_a_writer_that_rolls_back_under_another(env: Environment) -> list[str]:
    first, second = env.connect(), env.connect()
    insert(first, "a")
    insert(second, "b")
    first.rollback()
    second.commit()
    return env.names()


@scenario(6, sees=["b"], rollback=Refused)
def test_a_writer_that_rolls_back_after_another_has_committed(env: Environment) -> list[str]:
    first, second = env.connect(), env.connect()
    insert(first, "a")
    insert(second, "b")
    second.commit()
    first.rollback()
    return env.names()


@scenario(6, sees=[["b"], ["a", "b"], ["a", "b"]], rollback=Differs(3 * [["a", "b"]]))
def test_two_writers_that_end_last_in_first_out(env: Environment) -> list[Any]:
    first, second = env.connect(), env.connect()
    insert(first, "a")
    insert(second, "b")
    second.commit()
    seen = [env.names()]
    first.commit()
    third = env.connect()
    insert(third, "c")
    seen.append([name for name in env.names() if name != "c"])
    third.rollback()
    return [*seen, env.names()]


@scenario(7, sees=[[], ["red"]], rollback=Differs([["red"], ["red"]]))
def test_what_is_not_committed_is_nobody_elses(env: Environment) -> list[Any]:
    writer = env.connect()
    insert(writer, "red")
    seen = env.names()
    writer.commit()
    return [seen, env.names()]


@scenario(8, sees=["ProgrammingError 42P01", [], ["red"]], rollback=Refused)
def test_somebody_else_goes_on_while_a_transaction_is_aborted(env: Environment) -> list[Any]:
    failed = env.connect()
    insert(failed, "lost")
    execute(failed, "SAVEPOINT mine")
    error = attempt(execute, failed, "SELECT * FROM nowhere")
    seen = env.names()
    failed.rollback()
    env.add("red")
    return [error, seen, env.names()]


@scenario(8, sees=["ProgrammingError 42P01", ["red"], "InternalError 25P02", ["red"]])
def test_a_transaction_without_savepoints_is_aborted_alone(env: Environment) -> list[Any]:
    failed = env.connect()
    insert(failed, "lost")
    error = attempt(execute, failed, "SELECT * FROM nowhere")
    env.add("red")
    seen = env.names()
    still = attempt(teams, failed)
    failed.commit()
    return [error, seen, still, env.names()]


@scenario(9, sees=[["UndefinedTable 42P01", None, []], ["ProgrammingError 42P01", None, []]])
def test_commit_on_an_aborted_transaction_rolls_back(env: Environment) -> list[Any]:
    raw = env.raw()
    cursor = raw.cursor()
    cursor.execute("INSERT INTO team (name) VALUES ('red')")
    error = attempt(cursor.execute, "SELECT * FROM nowhere")
    in_driver = [error, attempt(raw.commit), env.names()]
    connection = env.connect()
    insert(connection, "blue")
    error = attempt(execute, connection, "SELECT * FROM nowhere")
    return [in_driver, [error, attempt(connection.commit), env.names()]]


@scenario(10, sees=[["theirs"], True, ["ours", "theirs"]])
def test_a_request_has_a_context_and_a_session_of_its_own(env: Environment) -> list[Any]:
    with env.app.app_context():
        ours = Team(name="ours")
        db.session.add(ours)
        env.request("/teams/theirs")
        seen = env.names()
        still = ours in db.session.new
        db.session.commit()
    return [seen, still, env.names()]


@scenario(10, sees=[500, [], ["late"]])
def test_a_request_that_fails_leaves_the_tests_session_alone(env: Environment) -> list[Any]:
    with env.app.app_context():
        db.session.add(Team(name="late"))
        status = env.request("/broken/red")
        seen = env.names()
        db.session.commit()
    return [status, seen, env.names()]
