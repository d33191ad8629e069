"""What a test does to its own process does not reach the testbed."""

from __future__ import annotations

import os
import random
import secrets
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from flask_testbed.databases.status import age
from flask_testbed.embedded.server import EmbeddedServer
from flask_testbed.postgres.cluster import Cluster
from flask_testbed.postgres.in_use import locked_database
from flask_testbed.postgres.labels import Kind, Label
from tests.support.embedded import is_up
from tests.support.waiting import wait_for

#: What tests replace, so that nothing waits, runs a program or is random.
REPLACED: list[tuple[Any, str]] = [
    (time, "sleep"),
    (subprocess, "run"),
    (subprocess, "Popen"),
    (socket, "socket"),
    (socket, "gethostname"),
    (secrets, "token_hex"),
    (random, "random"),
    (threading, "Thread"),
]


def forbidden(*_: Any, **__: Any) -> NoReturn:
    raise AssertionError("replaced by a test")


@contextmanager
def state_of_process() -> Iterator[None]:
    """Restore what monkeypatch does not: signals, the umask and the current folder."""
    before = signal.getsignal(signal.SIGCHLD)
    umask, folder = os.umask(0o077), Path.cwd()
    try:
        yield
    finally:
        os.umask(umask)
        os.chdir(folder)
        signal.signal(signal.SIGCHLD, before)


def test_a_database_is_created_in_a_process_that_a_test_has_changed(
    home: Path, tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    server = EmbeddedServer(Path("/srv/toy/instance"), "test")
    gone = tmp_path / "gone"
    gone.mkdir()
    with state_of_process(), environment.context() as patch:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        os.umask(0)
        os.chdir(gone)
        gone.rmdir()
        for name in ("LC_ALL", "LANG", "TZ", "PGDATA", "PYTHONHOME", "PYTHONSTARTUP"):
            patch.setenv(name, "nonsense")
        for clock in ("monotonic", "perf_counter", "time"):
            patch.setattr(time, clock, lambda: 42.0)
        for owner, name in REPLACED:
            patch.setattr(owner, name, forbidden)
        with (
            closing(Cluster(server.url("postgres"), "x", server)) as cluster,
            locked_database(cluster, "x_test"),
        ):
            cluster.clone("template1", "x_test", Label.create(Kind.RUN, "f"))
            found = cluster.find("x_test")
            cluster.drop("x_test")
    wait_for(lambda: not is_up(server), "the server to stop")

    assert found is not None
    assert age(found.made_at) == "0m"
    assert not [path for path in home.rglob("*") if path.stat().st_mode & 0o022]
