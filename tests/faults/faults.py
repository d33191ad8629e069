"""What happens to a process that has stopped, or around it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass

import psutil
import psycopg

from tests.support.processes import Process

from .scene import Scene


@dataclass(frozen=True)
class Fault:
    """An event, which some processes do not survive."""

    name: str
    happen: Callable[[Scene, Process, ExitStack], None]
    dies: bool = False
    """Whether the process ends by it without a word."""


def _signal(number: signal.Signals) -> Callable[[Scene, Process, ExitStack], None]:
    return lambda scene, process, after: process.send_signal(number)


def _end_backends(scene: Scene, process: Process, after: ExitStack) -> None:
    assert scene.stock is not None
    scene.stock.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND usename = 'maker'"
    )


def _limit(scene: Scene, process: Process, after: ExitStack) -> None:
    assert scene.stock is not None
    scene.stock.rows("ALTER ROLE maker CONNECTION LIMIT 0")
    after.callback(scene.stock.rows, "ALTER ROLE maker CONNECTION LIMIT -1")


def _connect(scene: Scene, process: Process, after: ExitStack) -> None:
    """Somebody connects to all databases that take connections, and stays."""
    assert scene.stock is not None
    for name in scene.stock.rows("SELECT datname FROM pg_database WHERE datallowconn"):
        if name != "template1":
            after.enter_context(closing(scene.stock.connect(name)))


def _take_name(scene: Scene, process: Process, after: ExitStack) -> None:
    """Somebody makes a database of the same name, if it is free."""
    assert scene.stock is not None
    with suppress(psycopg.errors.DuplicateDatabase):
        scene.stock.rows("CREATE DATABASE own_test")
        after.callback(scene.stock.rows, "DROP DATABASE IF EXISTS own_test WITH (FORCE)")


def _kill_server(scene: Scene, process: Process, after: ExitStack) -> None:
    with suppress(FileNotFoundError):
        pid = int((scene.server.data / "postmaster.pid").read_text().split()[0])
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).kill()


def _kill_keeper(scene: Scene, process: Process, after: ExitStack) -> None:
    for found in psutil.process_iter(["cmdline"]):
        words = found.info["cmdline"] or []
        if any(w.endswith("keeper.py") for w in words) and str(scene.server.home) in str(words):
            found.kill()


def _fill_disk(scene: Scene, process: Process, after: ExitStack) -> None:
    """Use up the small disk on which the server is."""
    ballast = scene.server.home / "ballast"
    after.callback(ballast.unlink, missing_ok=True)
    with suppress(OSError), ballast.open("wb") as file:
        while True:
            file.write(bytes(1 << 16))


FAULTS = [
    Fault("SIGKILL", _signal(signal.SIGKILL), dies=True),
    Fault("SIGINT", _signal(signal.SIGINT)),
    Fault("SIGTERM", _signal(signal.SIGTERM), dies=True),
    Fault("backends ended", _end_backends),
    Fault("no connection left", _limit),
    Fault("a stranger connects", _connect),
    Fault("the name is taken", _take_name),
]

EMBEDDED_FAULTS = [
    Fault("SIGKILL", _signal(signal.SIGKILL), dies=True),
    Fault("SIGINT", _signal(signal.SIGINT)),
    Fault("server killed", _kill_server),
    Fault("keeper killed", _kill_keeper),
    Fault("disk full", _fill_disk),
]
