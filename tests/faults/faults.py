"""What happens to a process that has stopped, or around it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass

import psutil
import psycopg

from tests.support.processes import Process

from .scene import Broken, Scene


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


def _leave_transactions(scene: Scene, process: Process, after: ExitStack) -> None:
    """Transactions stay open in the databases of the process, and in one of another program."""
    assert scene.stock is not None
    bystander = after.enter_context(closing(scene.stock.connect("precious_test", "maker")))
    bystander.execute("BEGIN; SELECT pg_advisory_xact_lock_shared(1)")
    for name in scene.stock.rows("SELECT datname FROM pg_database WHERE datname LIKE 'own_test%%'"):
        for _ in range(3):
            with suppress(psycopg.OperationalError):
                left = after.enter_context(closing(scene.stock.connect(name, "maker")))
                left.execute("BEGIN; SELECT 1")

    def look() -> None:
        with suppress(psycopg.Error):
            if bystander.execute("SELECT count(*) FROM pg_locks WHERE objid = 1").fetchone():
                return
        raise Broken("a transaction in another database was ended")

    after.callback(look)


def _shorten_timeouts(scene: Scene, process: Process, after: ExitStack) -> None:
    """An administrator bounds what the sessions of the role may do from now on."""
    assert scene.stock is not None
    settings = {"idle_session_timeout": "50ms", "idle_in_transaction_session_timeout": "1s"}
    settings |= {"lock_timeout": "1ms", "default_transaction_deferrable": "on"}
    for name, value in settings.items():
        scene.stock.rows(f"ALTER ROLE maker SET {name} = '{value}'")
    after.callback(scene.stock.rows, "ALTER ROLE maker RESET ALL")


def _postmaster(scene: Scene) -> psutil.Process | None:
    with suppress(FileNotFoundError, psutil.NoSuchProcess):
        return psutil.Process(int((scene.server.data / "postmaster.pid").read_text().split()[0]))
    return None


def _suspend_server(scene: Scene, process: Process, after: ExitStack) -> None:
    if found := _postmaster(scene):
        found.suspend()


def _remove_socket(scene: Scene, process: Process, after: ExitStack) -> None:
    for socket in scene.server.sockets.glob(".s.PGSQL.*"):
        if not socket.name.endswith(".lock"):
            socket.unlink()


def _kill_server(scene: Scene, process: Process, after: ExitStack) -> None:
    if found := _postmaster(scene):
        found.kill()


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
    Fault("transactions left open", _leave_transactions),
    Fault("short timeouts", _shorten_timeouts),
]

EMBEDDED_FAULTS = [
    Fault("SIGKILL", _signal(signal.SIGKILL), dies=True),
    Fault("SIGINT", _signal(signal.SIGINT)),
    Fault("server killed", _kill_server),
    Fault("server suspended", _suspend_server),
    Fault("socket removed", _remove_socket),
    Fault("keeper killed", _kill_keeper),
    Fault("disk full", _fill_disk),
]
