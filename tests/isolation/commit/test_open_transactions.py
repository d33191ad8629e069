"""Transactions that a test leaves open: they are ended, and no session of anybody else's."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.engine import URL, make_url

from flask_testbed import TestbedWarning
from flask_testbed.embedded.server import EmbeddedServer
from flask_testbed.errors import IsolationError
from flask_testbed.isolation.commit import reset as isolation
from flask_testbed.isolation.commit.install import install
from flask_testbed.isolation.mode import Isolation
from flask_testbed.postgres.cluster import Cluster
from flask_testbed.sandbox.sandbox import Sandbox
from tests.support.notes import add, connect, notes
from tests.support.paths import INSTANCE
from tests.support.servers import Stock
from tests.support.toys import add_tables
from tests.support.waiting import PATIENCE

PACKAGE = Path(isolation.__file__).parent

#: A call that does something, and what may stand before it: the beginning of a select list, a
#: statement of PL/pgSQL or of SQL.
EFFECTS = (
    "pg_terminate_backend|pg_cancel_backend|setval|nextval|lo_unlink|lo_create|set_config"
    r"|pg_(?:try_)?advisory_\w+|flask_testbed\.(?:watch_writes|unwatch_writes|protect|insert_rows"
    r"|(?:empty|restore|reset|choose|copy|note|forget|accept|create|undo|truncate|force"
    r"|bound|find)_\w+)"
)
_END = r"\b(?:THEN|PERFORM|SELECT|RETURN|LOOP|EXECUTE|UPDATE|SET)\b"
CONDITION = re.compile(
    rf"\b(?:WHERE|ON|HAVING|AND|OR(?! REPLACE)|NOT)\b(?:(?!{_END})[^;]){{0,80}}?\b(?:{EFFECTS})\("
)


@pytest.fixture
def bystanders() -> Iterator[list[psycopg.Connection[Any]]]:
    """Two sessions with uncommitted work in databases of their own, on the same server."""
    server = EmbeddedServer(INSTANCE, "test")
    cluster = Cluster(server.url("postgres"), "the embedded server", server)
    names = [f"bystander_{number}_{os.getpid()}" for number in (1, 2)]
    with closing(cluster), ExitStack() as last:
        sessions = []
        for name in names:
            drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            cluster.connection.execute(drop)
            cluster.connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            last.callback(cluster.connection.execute, drop)
            session = last.enter_context(closing(connect(server.url(name))))
            session.execute("CREATE TABLE work (word text)")
            session.execute("INSERT INTO work VALUES ('unfinished')")
            sessions.append(session)
        yield sessions


@pytest.mark.parametrize("number", [1, 3, 130])
def test_only_the_transactions_that_the_test_left_open_are_ended(
    sandbox: Sandbox, bystanders: list[psycopg.Connection[Any]], number: int
) -> None:
    add(sandbox, "left")
    with ExitStack() as last:
        left = [last.enter_context(closing(connect(sandbox.url()))) for _ in range(number)]
        idle = last.enter_context(closing(connect(sandbox.url())))
        for connection in left:
            connection.execute("SELECT 1")

        with pytest.warns(TestbedWarning, match="has been ended") as told:
            sandbox.reset()

        assert len(told) == number
        assert notes(sandbox) == []
        assert idle.execute("SELECT 1").fetchone() == (1,)
        for connection in left:
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
    for bystander in bystanders:
        assert bystander.execute("SELECT word FROM work").fetchall() == [("unfinished",)]
        bystander.commit()


@pytest.mark.parametrize(
    "moment",
    ["flask_testbed.reset()", "pg_stat_activity", "pg_terminate_backend", "SET lock_timeout"],
)
@pytest.mark.parametrize("times", [1, 3])
def test_a_reset_whose_connection_is_ended_connects_anew_and_finishes(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, moment: str, times: int
) -> None:
    add(sandbox, "left")
    if moment.startswith("SET"):
        sandbox.database.connection().close()
    ended = _end_at(monkeypatch, sandbox.url(), moment, times)
    with closing(connect(sandbox.url())) as left:
        left.execute("SELECT 1")

        with pytest.warns(TestbedWarning, match="has been ended") as told:
            sandbox.reset()

    assert len(ended) == times
    assert len(told) == 1
    assert notes(sandbox) == []


def test_a_reset_whose_connection_is_ended_again_and_again_is_one_sentence(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(sandbox, "left")
    with monkeypatch.context() as patch:
        ended = _end_at(patch, sandbox.url(), "flask_testbed.reset()", 1000)
        with pytest.raises(
            IsolationError, match=r"was terminated 5 times in a row \(.+\)\. Let"
        ) as said:
            sandbox.reset()

    assert len(ended) == isolation.ATTEMPTS
    assert "\n" not in str(said.value)
    sandbox.reset()
    assert notes(sandbox) == []


def _end_at(patch: pytest.MonkeyPatch, url: URL, moment: str, times: int) -> list[int]:
    """Have the session ended that is about to execute something, so many times."""
    ended: list[int] = []
    original = psycopg.Connection.execute

    def execute(connection: psycopg.Connection[Any], query: Any, *more: Any, **named: Any) -> Any:
        if moment in str(query) and len(ended) < times:
            pid = connection.info.backend_pid
            ended.append(pid)
            with closing(connect(url)) as other:
                other.autocommit = True
                original(other, "SELECT pg_terminate_backend(%s, 5000)", [pid])
        return original(connection, query, *more, **named)

    patch.setattr(psycopg.Connection, "execute", execute)
    return ended


def test_a_transaction_of_a_role_that_may_not_be_ended_is_one_sentence(
    stock: Stock, make_sandbox: Callable[..., Sandbox]
) -> None:
    # So the role sees that the transaction is open.
    stock.rows("GRANT pg_read_all_stats TO maker")
    sandbox = make_sandbox(stock.url("open_test", "maker"))
    try:
        add(sandbox, "left")
        with closing(psycopg.connect(stock.url(sandbox.url().database or "", "boss"))) as left:
            left.execute("SELECT 'of the boss'")

            with pytest.raises(IsolationError, match="'maker' may not terminate") as said:
                sandbox.reset()

            assert "of the boss" in str(said.value)
            assert "\n" not in str(said.value)
            assert left.execute("SELECT 1").fetchone() == (1,)
        sandbox.reset()
        assert notes(sandbox) == []
    finally:
        stock.rows("REVOKE pg_read_all_stats FROM maker")


def test_a_prepared_transaction_is_rolled_back_and_named(
    stock: Stock, make_sandbox: Callable[..., Sandbox]
) -> None:
    sandbox = make_sandbox(stock.url("open_test", "maker"))
    for role in ("maker", "boss"):
        add(sandbox, "before")
        url = stock.url(sandbox.url().database or "", role)
        with closing(psycopg.connect(url)) as connection:
            connection.execute("INSERT INTO note (text) VALUES ('prepared')")
            connection.execute(f"PREPARE TRANSACTION 'it''s {role}'")
        if role == "maker":
            with pytest.warns(TestbedWarning, match='the prepared transaction "it\'s maker"'):
                sandbox.reset()
        else:
            with pytest.raises(IsolationError, match="'maker' may not roll back"):
                sandbox.reset()
            stock.rows("ROLLBACK PREPARED 'it''s boss'", sandbox.url().database or "")
            sandbox.reset()
        assert notes(sandbox) == []


def test_a_clock_that_a_test_has_stopped_stops_no_reset(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(sandbox, "left")
    for clock in ("monotonic", "time", "perf_counter", "sleep"):
        monkeypatch.setattr(time, clock, lambda *_: 0.0)
    with closing(connect(sandbox.url())) as left:
        left.execute("SELECT 1")
        with pytest.warns(TestbedWarning, match="has been ended"):
            sandbox.reset()


def test_a_signal_in_a_reset_spoils_the_connection_alone(sandbox: Sandbox) -> None:
    add(sandbox, "left")
    sandbox.database.connection().execute("BEGIN")
    sandbox.reset()
    assert notes(sandbox) == []


@pytest.mark.parametrize("raw", [False, True])
def test_what_goes_on_writing_after_its_test_is_named(sandbox: Sandbox, raw: bool) -> None:
    stop, written = threading.Event(), threading.Event()

    def write() -> None:
        with closing(connect(sandbox.url())) as connection:
            while not stop.wait(0.003):
                if raw:
                    connection.execute("INSERT INTO note (text) VALUES ('again')")
                    connection.commit()
                else:
                    add(sandbox, "again")
                written.set()

    add(sandbox, "once")
    sandbox.reset()
    sandbox.begin(Isolation(test="test_guilty"))
    add(sandbox, "once")
    thread = threading.Thread(target=write, name="the writer")
    thread.start()
    try:
        assert written.wait(PATIENCE)
        who = r"process \d+ of the user" if raw else "the thread 'the writer'"
        with pytest.warns(TestbedWarning, match=rf"test_guilty has ended.* {who}.*public\.note"):
            sandbox.reset()
    finally:
        stop.set()
        thread.join(PATIENCE)
    sandbox.reset()
    assert notes(sandbox) == []


def test_a_thread_that_only_waits_is_not_named(sandbox: Sandbox) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(add, sandbox, "once").result(PATIENCE)
        sandbox.reset()
        pool.submit(add, sandbox, "once").result(PATIENCE)
        sandbox.reset()
    assert notes(sandbox) == []


@pytest.mark.parametrize(
    "path", sorted([*PACKAGE.rglob("*.sql"), *PACKAGE.rglob("*.py")]), ids=lambda path: path.name
)
def test_no_condition_calls_a_function_with_an_effect(path: Path) -> None:
    lines = [line.split("--")[0] for line in path.read_text().splitlines()]

    assert CONDITION.findall("\n".join(lines)) == []


@pytest.mark.parametrize(
    "condition",
    [
        "WHERE pid = ANY (%s) AND xact_start IS NOT NULL AND pg_terminate_backend(pid)",
        "WHERE NOT (notes_all AND flask_testbed.watch_writes(oid, name))",
        "JOIN b ON setval(b.oid, 1) = 1",
    ],
)
def test_such_a_condition_would_be_found(condition: str) -> None:
    assert CONDITION.search(condition)


def test_many_tables_still_have_their_writes_noted(stock: Stock) -> None:
    stock.rows("CREATE DATABASE noted")
    url = make_url(stock.url("noted")).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url)
    with engine.begin() as session:
        add_tables(session)
    engine.dispose()
    with stock.connect("noted") as connection:
        install(connection)

    noted = stock.rows(
        "SELECT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal"
        " AND tgfoid = 'flask_testbed.note_write'::regproc",
        "noted",
    )
    body = stock.rows("SELECT prosrc FROM pg_proc WHERE proname = 'empty_tables'", "noted")[0]
    assert len(noted) == 60  # all but what is a partition, has some or inherits
    assert "ONLY public.annex" in body
    assert "ONLY public.shelf_low" in body
    assert "ONLY public.room_3" not in body
