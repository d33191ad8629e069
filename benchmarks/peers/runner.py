"""Processes that wait until they are told how many tests to run, and say how long it took."""

from __future__ import annotations

import gc
import itertools
import multiprocessing
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from multiprocessing.connection import Connection
from typing import Any

import click

#: Runs one test, isolated, the number of which is new each time.
Test = Callable[[int], None]

#: Yields a test, and what is to be done now and then without being measured.
Case = Callable[[int], AbstractContextManager[tuple[Test, Callable[[], None]]]]


class Runner:
    """A case in a process of its own, so that nothing that it installs is paid by another.

    :param serve: what the process does: :func:`serve`, or something that answers like it.
    :param arguments: of that, after the connection.
    """

    def __init__(self, serve: Callable[..., None], *arguments: Any) -> None:
        # A fork would inherit connections, and what was imported.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, *arguments), daemon=True)
        self._process.start()
        theirs.close()

    def run(self, tests: int) -> float:
        """The seconds that so many tests take.

        :raises click.ClickException: one has failed.
        """
        self._connection.send(tests)
        try:
            answer = self._connection.recv()
        except EOFError:
            raise click.ClickException("A process of the benchmark has died.") from None
        if isinstance(answer, str):
            raise click.ClickException(answer)
        seconds: float = answer
        return seconds

    def close(self) -> None:
        """End the process, once it has cleaned up."""
        if self._process.is_alive():
            self._connection.send(0)
            self._process.join(30)
        self._connection.close()


@contextmanager
def runners(wanted: dict[str, tuple[Any, ...]]) -> Iterator[dict[str, Runner]]:
    """Processes by name, each made of the arguments of :class:`Runner`."""
    with ExitStack() as last:
        started = {}
        for name, arguments in wanted.items():
            started[name] = Runner(*arguments)
            last.callback(started[name].close)
        yield started


def serve(connection: Connection, case: Case, tables: int) -> None:
    """Run as many tests as are asked for, until none are."""
    try:
        with case(tables) as (test, tidy):
            numbers = itertools.count()
            while tests := connection.recv():
                tidy()
                test(next(numbers))  # to have warm again what the others have made cold
                gc.collect()
                started = time.perf_counter()
                for _ in range(tests):
                    test(next(numbers))
                connection.send(time.perf_counter() - started)
    except BaseException:
        connection.send(traceback.format_exc())
        raise
