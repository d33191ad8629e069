"""A process of pytest whose tests are run when it is their turn."""

from __future__ import annotations

import gc
import io
import os
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, redirect_stdout
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import URL

from benchmarks.peers import cases
from benchmarks.peers.models import add_tables
from flask_testbed.postgres.connecting import connect_parameters

SUITES = Path(__file__).with_name("suites")


@dataclass(frozen=True)
class Suite:
    """Tests, and how pytest is to run them."""

    tests: str
    """``of_flask.py::test_client``."""

    plugins: tuple[str, ...] = ()
    """All that pytest loads besides itself."""

    arguments: tuple[str, ...] = ()

    database: str = ""
    """Made and filled beforehand, if it has a name; or by the tests, if that begins with ``-``."""

    isolation: str = ""


class Turns:
    """A plugin of pytest that runs as many tests as it is asked for, until that is none."""

    def __init__(self, connection: Connection, tidy: Callable[[], None]) -> None:
        self._connection = connection
        self._tidy = tidy
        self._failure = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests, in turn with other processes."""
        items = list(session.items)
        done = 0
        while tests := self._connection.recv():
            if done:  # The first test may yet make the database.
                self._tidy()
            self._run(items[done : done + 2])  # to have warm again what the others have made cold
            gc.collect()
            started = time.perf_counter()
            self._run(items[done + 1 : done + tests + 2])
            self._connection.send(self._failure or time.perf_counter() - started)
            done += tests + 1
        # The fixtures of the session are still there: each test had one after it.
        session._setupstate.teardown_exact(None)
        return True

    def _run(self, items: list[pytest.Item]) -> None:
        """Run all but the last, which is the one that comes next."""
        for item, following in pairwise(items):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what has failed."""
        if report.failed:
            self._failure = report.longreprtext


def serve(connection: Connection, suite: Suite, tables: int, tests: int) -> None:
    """Run the tests of a suite in the process, as its only tests."""
    add_tables(tables)
    output = io.StringIO()
    with ExitStack() as last:
        last.enter_context(redirect_stdout(output))
        url = _database(last, suite, tables)
        os.environ |= {
            "BENCHMARK_TABLES": str(tables),
            "BENCHMARK_TESTS": str(tests),
            "BENCHMARK_ISOLATION": suite.isolation,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }
        status = pytest.main(_arguments(suite), plugins=[Turns(connection, _tidy(url))])
    if status:
        connection.send(output.getvalue())
    connection.close()


def _database(last: ExitStack, suite: Suite, tables: int) -> URL | None:
    """Have a database for the suite, and say where in the environment."""
    cluster = last.enter_context(closing(cases.server()))
    host, port = str(cluster.url.query["host"]), str(cluster.url.query["port"])
    os.environ |= {"PGHOST": host, "PGPORT": port, "BENCHMARK_URL": ""}
    if not suite.database:
        return None
    name = f"benchmark_{suite.database.strip('-')}"
    url = cluster.url.set(database=name)
    if not suite.database.startswith("-"):
        last.enter_context(cases.filled(suite.database, tables))
    shown = url.render_as_string(hide_password=False)
    os.environ |= {"BENCHMARK_DATABASE": name, "BENCHMARK_URL": shown}
    return url


def _arguments(suite: Suite) -> list[str]:
    plugins = [f"-p{plugin}" for plugin in suite.plugins]
    # No configuration but this, and nothing that is written to the disk.
    return [
        *("-q", "-s", "-c", os.devnull, f"--rootdir={SUITES}", "-pno:cacheprovider"),
        *plugins,
        *suite.arguments,
        str(SUITES / suite.tests),
    ]


def _tidy(url: URL | None) -> Callable[[], None]:
    """Do what autovacuum would do, on a database that is not the engine's."""

    def vacuum() -> None:
        if url is not None:
            with psycopg.connect(**connect_parameters(url), autocommit=True) as connection:
                connection.execute("VACUUM")
            connection.close()

    return vacuum
