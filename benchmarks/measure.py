"""Timing several things in turn, so that a noisy machine disturbs all of them alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import click

from flask_testbed.cli.common import table


@dataclass
class Timings:
    """What one case took, in seconds, round by round."""

    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Half of the rounds took longer."""
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        """The shortest round: what it takes when nothing else runs."""
        return min(self.seconds)


def interleave(
    cases: Mapping[str, Callable[[], float | None]], rounds: int, warm_up: int = 1
) -> dict[str, Timings]:
    """Run every case once in each round, in turn.

    :param cases: by name; one may return the seconds that count, else its whole call counts.
    :param rounds: how often.
    :param warm_up: further rounds before, which do not count.
    """
    timings = {name: Timings() for name in cases}
    for number in range(warm_up + rounds):
        for name, case in cases.items():
            gc.collect()
            started = time.perf_counter()
            given = case()
            seconds = time.perf_counter() - started if given is None else given
            if number >= warm_up:
                timings[name].seconds.append(seconds)
    return timings


def show(headings: list[str], rows: list[list[str]]) -> None:
    """Print a table."""
    click.echo(table(headings, rows))


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds, with two decimals."""
    return f"{seconds * 1000:,.2f}"
