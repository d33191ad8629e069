"""Several runs, several workers, one server: nobody meets another, and none is waited for."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from sqlalchemy.engine import make_url

from flask_testbed.errors import DatabaseError, ServerError
from flask_testbed.postgres import locks
from flask_testbed.postgres.capacity import check_capacity
from flask_testbed.postgres.cluster import Cluster
from tests.support.processes import assert_no_password, finish
from tests.support.projects import Project
from tests.support.servers import Stock
from tests.support.toys import Toys
from tests.support.waiting import wait_for

#: Runs at once, three in ten of which are killed. ``TESTBED_RUNS=10`` is the long way.
RUNS = int(os.environ.get("TESTBED_RUNS", "4"))
KILLED = max(1, RUNS * 3 // 10)

TEST = """
    import pathlib, pytest, time
    from models import add, db, titles

    @pytest.mark.parametrize("number", range(4))
    def test_it(app, number):
        add(str(number))
        assert titles() == [str(number)]
        if number == 1:
            name = db.engine.url.database
            pathlib.Path(f"begun-{name}").touch()
            while not pathlib.Path("go").exists():
                time.sleep(0.01)
        assert titles() == [str(number)]
"""


def cluster(stock: Stock) -> Cluster:
    return Cluster(make_url(stock.url("x")).set(drivername="postgresql+psycopg"), "S")


def test_runs_at_once_of_which_some_are_killed(stock: Stock, project: Project, toys: Toys) -> None:
    before = stock.databases()
    project.write(test_it=TEST)
    pytest_run = ("-m", "pytest", "-p", "no:cacheprovider")

    runs = [project.start(*pytest_run, DATABASE_URL=stock.url("own")) for _ in range(RUNS)]
    try:
        begun = project.root.glob
        wait_for(lambda: len(list(begun("begun-*"))) == RUNS, "all runs")
        for doomed in runs[:KILLED]:
            doomed.send_signal(signal.SIGKILL)
            doomed.communicate()
        (project.root / "go").touch()
        outcomes = [finish(run) for run in runs[KILLED:]]
    finally:
        for run in runs:
            run.kill()

    assert [outcome.counts() for outcome in outcomes] == [{"passed": 4}] * (RUNS - KILLED)
    names = {path.name.removeprefix("begun-") for path in begun("begun-*")}
    assert names == {"own_test", *(f"own_test_{number}" for number in range(2, RUNS + 1))}
    left = set(stock.databases()) - set(before)
    assert len(left & names) == KILLED
    wait_for(
        lambda: stock.rows("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [0],
        "the locks to be free",
    )
    pruned = toys.run(toys.app(stock.url("own")), "test-db", "prune")
    assert pruned.status == 0, pruned.text
    assert stock.databases() == before


@pytest.mark.parametrize("how", ["loadscope", "worksteal", "each"])
def test_every_way_to_distribute_tests(stock: Stock, project: Project, how: str) -> None:
    before = stock.databases()
    project.write(test_it=TEST)
    (project.root / "go").touch()

    outcome = project.pytest("-n2", f"--dist={how}", DATABASE_URL=stock.url("own"))

    assert outcome.counts() == {"passed": 8 if how == "each" else 4}, outcome.text
    assert stock.databases() == before


def test_a_worker_that_crashes_is_restarted(stock: Stock, project: Project) -> None:
    before = stock.databases()
    project.write(
        test_it="""
            import os, pytest
            from models import add, titles

            @pytest.mark.parametrize("number", range(6))
            def test_it(app, number):
                add("x")
                assert titles() == ["x"]
                if number == 2:
                    os.kill(os.getpid(), 9)
        """
    )

    outcome = project.pytest("-n2", DATABASE_URL=stock.url("own"))

    assert outcome.counts() == {"passed": 5, "failed": 1}, outcome.text
    wait_for(
        lambda: stock.rows("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [0],
        "the locks to be free",
    )
    project.write(test_it="from models import add\n\ndef test_it(app):\n    add('x')\n")
    assert project.pytest(DATABASE_URL=stock.url("own")).counts() == {"passed": 1}
    assert stock.databases() == before


@contextmanager
def limited(stock: Stock, connections: int) -> Iterator[None]:
    stock.rows(f"ALTER ROLE maker CONNECTION LIMIT {connections}")
    try:
        yield
    finally:
        stock.rows("ALTER ROLE maker CONNECTION LIMIT -1")


def test_more_workers_than_connections_are_refused_before_the_first_test(
    stock: Stock, project: Project
) -> None:
    before = stock.databases()
    project.write(test_it=TEST)
    (project.root / "go").touch()

    with limited(stock, 5):
        outcome = project.pytest("-n2", DATABASE_URL=stock.url("own", "maker"))

    outcome.assert_says(
        "takes 5 connections, and 2 workers need 6. Run with -n 1", "CONNECTION LIMIT", status=2
    )
    assert "passed" not in outcome.out
    assert_no_password(outcome, stock.password)
    assert stock.databases() == before


def test_a_server_that_is_full_says_what_to_do(stock: Stock, toys: Toys) -> None:
    app = toys.app(stock.url("own", "maker"))
    with limited(stock, 1), stock.connect(role="maker"):
        toys.run(app, "test-db", "create").assert_says("too many connections", "fewer workers")


def test_room_for_all_is_no_error(stock: Stock) -> None:
    with closing(cluster(stock)) as server:
        check_capacity(server, 10)
        with pytest.raises(ServerError, match="and 1000 workers need 3000"):
            check_capacity(server, 1000)


# Waiting


def test_who_waits_says_so_and_not_for_ever(stock: Stock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "NOTICE_AFTER", 0.1)
    monkeypatch.setattr(locks, "WAIT_AT_MOST", 0.2)
    said: list[str] = []
    with closing(cluster(stock)) as first, closing(cluster(stock)) as second:
        second.locks.tell = said.append
        pid = first.connection.info.backend_pid
        with (
            first.locks.locked("x", "to do it"),
            pytest.raises(DatabaseError, match=r"Waited 0\.2 s in vain for boss from 127"),
            second.locks.locked("x", "to do it"),
        ):
            pytest.fail("two have it")
        with (
            first.locks.locked("x", "to do it"),
            pytest.raises(DatabaseError, match=r"Waited 0\.2 s in vain for boss from 127"),
        ):
            second.locks.lock_shared("x", "to do it")
        with second.locks.locked("x", "to do it"):
            assert first.locks.is_locked("x")

    assert len(said) == 2
    for sentence in said:
        assert sentence.startswith(f"Waiting for boss from 127.0.0.1 (server process {pid}, since ")
        assert sentence.endswith(") to do it …")


def test_who_waits_goes_on_as_soon_as_they_can(
    stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "NOTICE_AFTER", 0.05)
    said: list[str] = []
    with closing(cluster(stock)) as first, closing(cluster(stock)) as second:
        second.locks.tell = said.append
        assert first.locks.try_lock("x")
        release = threading.Timer(0.3, first.locks.unlock, ["x"])
        release.start()
        with second.locks.locked("x", "to do it"):
            release.join()
        assert not second.locks.is_locked("x")
        # The short bound was for that lock alone.
        assert second.connection.execute("SHOW lock_timeout").fetchone() == ("10min",)

    assert len(said) == 1
