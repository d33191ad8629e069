"""What it costs to isolate a test of one insert and one select, beside every other way.

Each case is a process with a database of its own, warm, which waits until it is its turn. Round by
round each runs some tests, so that a noisy machine disturbs all alike; and what one installs in
its process, as the engine's listeners, is paid by nobody else. All run the same test on the same
tables, and are on the same server. The cost of a case is what it takes more than its base, which is
the same test with no isolation at all: the median of what it took more in each round.

Some ways to isolate are fixtures of pytest. Their processes are of pytest, and the base is the same
test in another one, without the fixture; so what pytest itself takes is on both sides. That of
Django is a test of Django's, with its ORM: what it costs is compared, not what it takes.

Each turn begins with a test that is not measured: when one drops 300 tables, the server tells all
sessions of all databases to forget what they know of theirs.

The embedded server has autovacuum switched off. It suits the engine, and would in time slow down
whoever deletes rows or drops tables, so the databases of the others are vacuumed between rounds,
which is not measured. The engine's is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import median

import click

from benchmarks.measure import Timings, interleave, milliseconds, show
from benchmarks.peers import cases, pytest_process
from benchmarks.peers.pytest_process import Suite
from benchmarks.peers.runner import Case, Runner, runners, serve

#: Seconds that the tests of one case in one round should take.
SHARE = 0.06

#: The most tests of one case in one round.
MOST = 20

#: Milliseconds of cost, by the number of tables.
GOALS = {"commit": {15: 1.0, 300: 3.0}, "rollback": {15: 0.5, 300: 0.5}}


@dataclass(frozen=True)
class Peer:
    """A way to isolate a test."""

    runs: Case | Suite
    base: str
    """The name of the same without isolation, which is its own base."""

    needs: tuple[str, ...] = ()
    """The modules that it needs besides those of the tests."""

    @property
    def missing(self) -> list[str]:
        """Which of those are not installed."""
        return [name for name in self.needs if find_spec(name) is None]


def _django(test: str, isolation: str) -> Suite:
    return Suite(
        f"of_django.py::{test}",
        plugins=("django",),
        arguments=("--ds=benchmarks.peers.suites.shelves.settings",),
        database=f"-{isolation}",
        isolation=isolation,
    )


def _flask(name: str, *plugins: str, arguments: tuple[str, ...] = ()) -> Suite:
    return Suite("of_flask.py::test_client", plugins, arguments, database=name)


BASE, DJANGO, PYTEST = "no isolation", "Django: no isolation", "pytest: no isolation"
_DJANGO = ("django", "pytest_django")
_POSTGRESQL = ("pytest_postgresql",)
_OURS = "flask_testbed.pytest_plugin"
_SUITES = "benchmarks.peers.suites"

#: Measured by a loop, where pytest is not needed.
PEERS = {
    BASE: Peer(cases.no_isolation, BASE),
    "commit": Peer(cases.commit, BASE),
    "rollback": Peer(cases.rollback, BASE),
    "savepoints by hand": Peer(cases.savepoints, BASE),
    "DELETE by hand": Peer(cases.delete, BASE),
    "TRUNCATE by hand": Peer(cases.truncate, BASE),
    "clone of a template": Peer(cases.clone, BASE),
    "create_all, drop_all": Peer(cases.recreate, BASE),
    "psycopg, no isolation": Peer(cases.bare, BASE),
    DJANGO: Peer(_django("test_models", "no_isolation"), DJANGO, _DJANGO),
    "pytest-django db": Peer(_django("test_models", "db"), DJANGO, _DJANGO),
    "pytest-django transactional_db": Peer(
        _django("test_models", "transactional_db"), DJANGO, _DJANGO
    ),
    PYTEST: Peer(
        Suite("of_postgresql.py::test_models", ("pytest_postgresql",), database="pytest"),
        PYTEST,
        _POSTGRESQL,
    ),
    "pytest-postgresql": Peer(
        Suite("of_postgresql.py::test_isolated", ("pytest_postgresql",), database="unused"),
        PYTEST,
        _POSTGRESQL,
    ),
}

#: Measured through pytest, with requests of a test client.
PLUGINS = {
    BASE: Peer(_flask("base"), BASE),
    "commit": Peer(_flask("", _OURS, arguments=("--testbed-isolation=commit",)), BASE),
    "rollback": Peer(_flask("", _OURS, arguments=("--testbed-isolation=rollback",)), BASE),
    "conftest: savepoints": Peer(_flask("savepoints", f"{_SUITES}.savepoints"), BASE),
    "conftest: DELETE": Peer(_flask("delete", f"{_SUITES}.delete"), BASE),
    "conftest: create_all, drop_all": Peer(_flask("recreate", f"{_SUITES}.recreate"), BASE),
    DJANGO: Peer(_django("test_client", "no_isolation"), DJANGO, _DJANGO),
    "pytest-django db": Peer(_django("test_client", "db"), DJANGO, _DJANGO),
    "pytest-django transactional_db": Peer(
        _django("test_client", "transactional_db"), DJANGO, _DJANGO
    ),
}

EMPTY = "an empty test, without the plugin"

#: What the plugin costs a test that does not connect.
EMPTIES = {
    EMPTY: Peer(Suite("of_flask.py::test_nothing"), EMPTY),
    "an empty test, with the plugin": Peer(Suite("of_flask.py::test_nothing", (_OURS,)), EMPTY),
}


def measure(
    peers: Mapping[str, Peer], tables: int, rounds: int, most: int = MOST
) -> dict[str, Timings]:
    """Run the cases in turn. The seconds are those of one test."""
    # Each turn takes one more, to be warm, and it is never the last one's.
    tests = (rounds + 1) * (most + 1) + 6
    wanted = {name: _process(peer, tables, tests) for name, peer in peers.items()}
    # The server is up all the time: its start is not what is compared.
    with closing(cases.server()) as cluster, runners(wanted) as processes:
        assert cluster.connection
        turns = {name: _turn(process, most) for name, process in processes.items()}
        return interleave(turns, rounds)


def _process(peer: Peer, tables: int, tests: int) -> tuple[object, ...]:
    if isinstance(peer.runs, Suite):
        return (pytest_process.serve, peer.runs, tables, tests)
    return (serve, peer.runs, tables)


def _turn(process: Runner, most: int) -> Callable[[], float]:
    """What a process does in a round, and how long one test of it took."""
    process.run(1)  # the first is slow
    batch = max(1, min(most, round(SHARE / (process.run(2) / 2))))
    return lambda: process.run(batch) / batch


def report(peers: Mapping[str, Peer], timings: Mapping[str, Timings], tables: int) -> None:
    """Print what each case costs, beside its base and beside the goal."""
    rows = [_row(name, peers[name], timings, tables) for name in timings]
    headings = ["median ms", "best ms", "cost ms", "cost at best", "times base", "goal ms"]
    show([f"{tables} tables", *headings], rows)
    click.echo()


def _row(name: str, peer: Peer, timings: Mapping[str, Timings], tables: int) -> list[str]:
    timing, base = timings[name], timings[peer.base]
    row = [name, milliseconds(timing.median), milliseconds(timing.best)]
    if timing is base:
        return [*row, "", "", "", ""]
    cost = median(own - its for own, its in zip(timing.seconds, base.seconds, strict=True))
    goal = GOALS.get(name, {}).get(tables)
    return [
        *row,
        f"{cost * 1000:+,.2f}",
        f"{(timing.best - base.best) * 1000:+,.2f}",
        f"{timing.median / base.median:,.2f}",
        "" if goal is None else f"+{goal:.1f}",
    ]


def _chosen(peers: Mapping[str, Peer], only: tuple[str, ...]) -> dict[str, Peer]:
    """The named cases and their bases, without those that are not installed, which is said."""
    names = {*only, *(peers[name].base for name in only if name in peers)} or set(peers)
    chosen = {name: peer for name, peer in peers.items() if name in names}
    missing = sorted({module for peer in chosen.values() for module in peer.missing})
    if missing:
        click.echo(
            f"Not measured, since not installed: {', '.join(missing)}."
            " Install with: pip install -r requirements-benchmarks.txt\n"
        )
    return {name: peer for name, peer in chosen.items() if not peer.missing}


@click.command()
@click.option("--tables", multiple=True, type=int, default=(15, 300), show_default=True)
@click.option("--rounds", default=25, show_default=True, help="How often it is each case's turn.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(sorted({*PEERS, *PLUGINS})),
    metavar="NAME",
    help="One case, as the table names it, and its base. May be given more than once.",
)
@click.option("--plugin", is_flag=True, help="Through pytest, with requests of a test client.")
def command(tables: tuple[int, ...], rounds: int, only: tuple[str, ...], plugin: bool) -> None:
    """What isolation costs each test, beside every other way to isolate it.

    \b
    Example:
      python -m benchmarks isolation --tables 15 --only commit --only "DELETE by hand"
    """
    peers = _chosen(PLUGINS if plugin else PEERS, only)
    for count in tables:
        report(peers, measure(peers, count, rounds), count)
    if plugin and not only:
        report(EMPTIES, measure(EMPTIES, 1, rounds, most=100), 1)
