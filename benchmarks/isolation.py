"""What it costs to isolate a test of one insert and one select, beside every other way.

Each case is a process with a database of its own, warm, which waits until it is its turn. Round by
round each runs some tests, so that a noisy machine disturbs all alike; and what one installs in
its process, as the engine's listeners, is paid by nobody else. All run the same test on the same
tables through the same session, and are on the same server. The cost of a case is what it takes
more than its base, which is the same test with no isolation at all: the median of what it took more
in each round.

The embedded server has autovacuum switched off. It suits the engine, and would in time slow down
whoever deletes rows or drops tables, so the databases of the others are vacuumed between rounds,
which is not measured. The engine's is not.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from statistics import median

import click

from benchmarks.measure import Timings, interleave, milliseconds, show
from benchmarks.peers import cases
from benchmarks.peers.runner import Case, Runner, runners, serve

#: Seconds that the tests of one case in one round should take.
SHARE = 0.06

#: The most tests of one case in one round.
MOST = 20

BASE = "no isolation"
GOALS = {(15, "commit"): 1.0, (300, "commit"): 3.0, (15, "rollback"): 0.5, (300, "rollback"): 0.5}


@dataclass(frozen=True)
class Peer:
    """A way to isolate a test."""

    case: Case
    base: str = BASE
    """The case that does the same without isolation."""


PEERS = {
    BASE: Peer(cases.no_isolation),
    "commit": Peer(cases.commit),
    "rollback": Peer(cases.rollback),
    "savepoints by hand": Peer(cases.savepoints),
    "DELETE by hand": Peer(cases.delete),
    "TRUNCATE by hand": Peer(cases.truncate),
    "clone of a template": Peer(cases.clone),
    "create_all, drop_all": Peer(cases.recreate),
    "psycopg, no isolation": Peer(cases.bare),
}


def measure(names: list[str], tables: int, rounds: int) -> dict[str, Timings]:
    """Run the named cases in turn. The seconds are those of one test."""
    wanted = {name: (serve, PEERS[name].case, tables) for name in names}
    # The server is up all the time: its start is not what is compared.
    with closing(cases.server()) as cluster, runners(wanted) as processes:
        assert cluster.connection
        batches = {name: _batch(process) for name, process in processes.items()}
        return interleave(
            {name: _per_test(process, batches[name]) for name, process in processes.items()},
            rounds,
        )


def _batch(process: Runner) -> int:
    """How many tests to run in a round. The first are slow."""
    process.run(1)
    return max(1, min(MOST, round(SHARE / (process.run(2) / 2))))


def _per_test(process: Runner, batch: int) -> Callable[[], float]:
    return lambda: process.run(batch) / batch


def report(timings: dict[str, Timings], tables: int) -> None:
    """Print what each case costs, beside its base and beside the goal."""
    rows = []
    for name, timing in timings.items():
        base = timings[PEERS[name].base]
        cost = median(own - its for own, its in zip(timing.seconds, base.seconds, strict=True))
        goal = GOALS.get((tables, name))
        rows.append(
            [
                name,
                milliseconds(timing.median),
                milliseconds(timing.best),
                "" if timing is base else f"{cost * 1000:+,.2f}",
                "" if timing is base else f"{(timing.best - base.best) * 1000:+,.2f}",
                f"{timing.median / base.median:,.2f}",
                "" if goal is None else f"+{goal:.1f}",
            ]
        )
    headings = ["median ms", "best ms", "cost ms", "cost at best", "times base", "goal ms"]
    show([f"{tables} tables", *headings], rows)
    click.echo()


@click.command()
@click.option("--tables", multiple=True, type=int, default=(15, 300), show_default=True)
@click.option("--rounds", default=25, show_default=True, help="How often it is each case's turn.")
@click.option("--only", multiple=True, type=click.Choice(list(PEERS)), help="And their bases.")
def command(tables: tuple[int, ...], rounds: int, only: tuple[str, ...]) -> None:
    """What isolation costs each test, beside every other way to isolate it.

    \b
    Example:
      python -m benchmarks isolation --tables 15 --only commit --only "DELETE by hand"
    """
    names = [name for name in PEERS if not only or name in only or _is_base(name, only)]
    for count in tables:
        report(measure(names, count, rounds), count)


def _is_base(name: str, only: tuple[str, ...]) -> bool:
    return any(PEERS[one].base == name for one in only)
