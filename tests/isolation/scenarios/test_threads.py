"""Threads, forks and other programs: who waits for whom, and what becomes of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import Any

import sqlalchemy as sa

from tests.support.scenarios.environment import (
    Environment,
    Thread,
    attempt,
    execute,
    in_thread,
    insert,
    teams,
)
from tests.support.scenarios.scenario import Differs, Refused, scenario
from tests.support.waiting import PATIENCE

_PROGRAM = """
import json, psycopg, sys
with psycopg.connect(**json.loads(sys.argv[1])) as connection:
    connection.execute("SET lock_timeout = '300ms'")
    try:
        connection.execute(sys.argv[2])
        print("done")
    except psycopg.Error as error:
        print(type(error).__name__, error.sqlstate)
"""


def _program(env: Environment, statement: str) -> str:
    """What another program says that sends a statement, and commits."""
    command = [sys.executable, "-c", _PROGRAM, json.dumps(env.parameters()), statement]
    return subprocess.check_output(command, text=True, timeout=PATIENCE).strip()


@scenario(17, sees=["LockNotAvailable 55P03", ["red"]])
def test_another_program_waits_for_what_is_locked(env: Environment) -> list[Any]:
    connection = env.connect()
    insert(connection, "red")
    said = _program(env, "INSERT INTO team (name) VALUES ('red')")
    connection.commit()
    return [said, env.names()]


@scenario(18, sees=[["from a thread"], ["from a thread", "here"]])
def test_a_thread_commits_and_is_seen(env: Environment) -> list[Any]:
    in_thread(env.add, "from a thread")
    seen = env.names()
    env.add("here")
    return [seen, in_thread(env.names)]


@scenario(18, sees=[20, list(range(20))])
def test_threads_write_at_the_same_time(env: Environment) -> list[Any]:
    start = threading.Barrier(4)

    def work(first: int) -> None:
        start.wait(PATIENCE)
        for number in range(first, first + 5):
            env.commit("INSERT INTO seat (number) VALUES (:number)", number=number)

    threads = [Thread(work, first) for first in range(0, 20, 5)]
    for thread in threads:
        thread.result()
    numbers = env.rows("SELECT number FROM seat ORDER BY number")
    return [len(numbers), numbers]


@scenario(18, sees=["new", ["new"]])
def test_a_writer_waits_for_a_writer(env: Environment) -> list[Any]:
    env.add("old")
    about_to, connection = threading.Event(), env.connect()

    def rename() -> Any:
        about_to.set()
        env.commit("UPDATE team SET name = 'new' WHERE name LIKE 'mid%'")
        return "new"

    execute(connection, "UPDATE team SET name = 'middle' WHERE name = 'old'")
    thread = Thread(rename)
    about_to.wait(PATIENCE)
    connection.commit()
    first = thread.result()
    if env.names() != ["new"]:  # it looked before the commit, and found nothing to wait for
        rename()
    return [first, env.names()]


@scenario(18, sees=[["committed"], "late", ["committed", "late"]])
def test_requests_in_threads(env: Environment) -> list[Any]:
    env.request("/teams/committed")
    seen = env.names()
    threads = [Thread(env.request, "/teams/late")]
    answers = [thread.result()["added"] for thread in threads]
    return [seen, *answers, env.names()]


@scenario(18, sees=["ended"], warns="INSERT INTO team", rollback=Refused)
def test_a_thread_that_sleeps_in_a_transaction(env: Environment) -> list[str]:
    """It is ended with its test; the thread finds its connection gone."""
    inserted, over = threading.Event(), threading.Event()

    def sleep() -> None:
        with env.engine.connect() as connection:
            insert(connection, "asleep")
            inserted.set()
            over.wait(PATIENCE)

    thread = Thread(sleep)
    inserted.wait(PATIENCE)

    def wake() -> None:
        over.set()
        thread.join(PATIENCE)

    env.forget(wake)
    return ["ended"]


@scenario(18, sees=["ended"], warns="INSERT INTO team")
def test_a_connection_that_is_forgotten(env: Environment) -> list[str]:
    connection = env.engine.connect()
    insert(connection, "forgotten")
    env.forget(connection.close)
    env.forget(connection.invalidate)
    return ["ended"]


@scenario(
    19, sees=["done", ["from the child", "ours"]], rollback=Differs(["IsolationError", ["ours"]])
)
def test_a_fork_that_connects_anew(env: Environment) -> list[Any]:
    env.add("ours")
    said = _fork(lambda: (env.engine.dispose(close=False), env.add("from the child")))
    return [said, env.names()]


@scenario(19, sees=["done", ["mine"]])
def test_a_fork_that_leaves_the_database_alone(env: Environment) -> list[Any]:
    connection = env.connect()
    insert(connection, "mine")
    said = _fork(lambda: sum(range(10)))
    connection.commit()
    return [said, env.names()]


def _fork(action: Any) -> str:
    """What a forked process says that does something and ends at once."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            action()
            os.write(writing, b"done")
        except BaseException as error:
            os.write(writing, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


@scenario(
    30,
    sees=["OperationalError 55P03", [], [("red",)]],
    rollback=Differs([[("red",)], [("red",)], [("red",)]]),
)
def test_rows_that_somebody_else_has_locked(env: Environment) -> list[Any]:
    env.add("red")
    first, second = env.connect(), env.connect()
    select = "SELECT name FROM team FOR UPDATE"
    execute(first, select)
    seen = [attempt(execute, second, f"{select} NOWAIT")]
    second.rollback()
    seen.append(execute(second, f"{select} SKIP LOCKED"))
    first.rollback()
    second.rollback()
    return [*seen, execute(second, f"{select} NOWAIT")]


@scenario(30, sees=[["a"], ["b"], []], rollback=Differs([["a"], ["a"], []]))
def test_a_queue_of_jobs(env: Environment) -> list[Any]:
    env.add("a", "b")
    take = sa.text(
        "DELETE FROM team WHERE id = (SELECT id FROM team ORDER BY id"
        " LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING name"
    )
    peek = sa.text("SELECT name FROM team ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED")
    first, second = env.connect(), env.connect()
    seen = [list(first.scalars(peek)), list(second.scalars(peek))]
    second.rollback()
    first.rollback()
    for _ in range(2):
        first.execute(take)
    first.commit()
    return [*seen, teams(second)]
