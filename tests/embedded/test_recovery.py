"""An embedded server starts again after what ended it or what lies in its way."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from flask_testbed.embedded import folders
from flask_testbed.embedded.server import EmbeddedServer
from flask_testbed.errors import ServerError
from flask_testbed.postgres.connecting import connect
from tests.support.waiting import wait_for


def test_a_stale_lock_file_whose_number_another_process_has(home: Path) -> None:
    """As in a container that is killed and started again, where the same numbers come again."""
    server = EmbeddedServer(Path("/srv/toy/instance"), "test")
    server.start()
    file = server.data / "postmaster.pid"
    lines = file.read_text().splitlines()
    run_as = folders.run_as(folders.account_of(server.data))
    server.release()
    wait_for(lambda: not file.exists(), "the server to stop")
    with subprocess.Popen(["sleep", "60"], **run_as) as other:
        lines[0] = str(other.pid)
        file.write_text("\n".join([*lines, ""]))
        os.chown(file, server.data.stat().st_uid, -1)
        try:
            server.start()
        finally:
            other.kill()
            server.release()
            if file.exists() and file.read_text().splitlines()[0] == str(other.pid):
                file.unlink()


def test_a_server_and_its_keeper_that_were_killed_are_started_again(home: Path) -> None:
    """At once, and also where nobody reaps the server, as in a container without an init."""
    server = EmbeddedServer(Path("/srv/toy/instance"), "test")
    server.start()
    pid = int((server.data / "postmaster.pid").read_text().split()[0])
    both = [psutil.Process(pid), psutil.Process(pid).parent()]
    assert both[1] is not None
    assert "keeper.py" in " ".join(both[1].cmdline())
    for process in reversed(both):
        assert process is not None
        process.kill()
    server.release()

    try:
        server.start()
        with connect(server.url("postgres"), setting="x") as connection:
            assert connection.execute("SELECT 42").fetchone() == (42,)
    finally:
        server.release()


def test_a_server_that_does_not_start_says_the_cause(home: Path) -> None:
    server = EmbeddedServer(Path("/srv/toy/instance"), "test")
    server.start()
    server.release()
    wait_for(lambda: not (server.data / "postmaster.pid").exists(), "the server to stop")
    (server.data / "postgresql.conf").write_text("nonsense = 1\n")

    with pytest.raises(ServerError, match='unrecognized configuration parameter "nonsense"'):
        server.start()


def test_a_server_that_stops_is_not_taken_for_one_that_runs(home: Path) -> None:
    """The keeper gives back its own lock before that of the users, or at once with it."""
    for n in range(12):
        server = EmbeddedServer(Path("/srv/toy/instance"), "test")
        server.start()
        try:
            connect(server.url("postgres"), setting="x").close()
        finally:
            server.release()
        time.sleep(0.005 * (n % 3))
