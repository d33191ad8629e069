"""The embedded server under fire: it comes up, or one sentence says what to do."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flask_testbed.embedded import folders
from flask_testbed.embedded.server import EmbeddedServer
from flask_testbed.errors import ServerError
from tests.support.embedded import ask, is_up, start_user
from tests.support.processes import Python
from tests.support.servers import clear_away, rough_folder
from tests.support.waiting import PATIENCE, wait_for


@pytest.fixture
def home(environment: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own, since what is in it will not be usable."""
    folder = rough_folder()
    environment.setenv("FLASK_TESTBED_HOME", str(folder))
    yield folder
    clear_away(folder)


@pytest.fixture
def server(home: Path) -> Iterator[EmbeddedServer]:
    """A server that has not been made."""
    made = EmbeddedServer(Path("/srv/toy/instance"), "test")
    yield made
    made.release()


def mount(folder: Path, options: str) -> None:
    """Put another file system on a folder, as only root may."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount")


@pytest.fixture
def place(home: Path) -> Iterator[Path]:
    """A folder on which something can be mounted."""
    folder = home / "mounted"
    folder.mkdir(mode=0o711)
    yield folder
    wait_for(lambda: not list(folder.rglob("postmaster.pid")), "the server to stop")
    subprocess.run(["umount", str(folder)], check=False, capture_output=True)


def test_a_disk_that_is_full_is_one_sentence_and_takes_no_room(
    place: Path, environment: pytest.MonkeyPatch
) -> None:
    mount(place, "size=12m,mode=711")
    environment.setenv("FLASK_TESTBED_HOME", str(place))
    server = EmbeddedServer(Path("/srv/toy/instance"), "test")

    with pytest.raises(ServerError, match="No space left on device") as failed:
        server.start()

    assert "Free some space, or choose another folder with FLASK_TESTBED_HOME" in str(failed.value)
    assert "\n" not in str(failed.value)
    assert not list(place.rglob("PG_VERSION"))


def test_a_folder_that_is_read_only_is_one_sentence(
    place: Path, environment: pytest.MonkeyPatch
) -> None:
    mount(place, "ro")
    environment.setenv("FLASK_TESTBED_HOME", str(place))

    with pytest.raises(ServerError, match=r"cannot be kept in .*Read-only file system"):
        EmbeddedServer(Path("/srv/toy/instance"), "test").start()


def initdbs(home: Path) -> list[psutil.Process]:
    """Those that make a cluster in a home."""
    found = psutil.process_iter(["cmdline"])
    return [process for process in found if f"{home}/" in str(process.info["cmdline"])]


def damage_control(data: Path) -> None:
    (data / "global" / "pg_control").write_bytes(b"\0" * 8192)


def change_version(data: Path) -> None:
    (data / "PG_VERSION").write_text("9.6\n")


def empty(data: Path) -> None:
    account = folders.account_of(data)
    shutil.rmtree(data)
    data.mkdir(mode=0o700)
    folders.give(data, account)


DAMAGE = [
    (damage_control, "initdb"),
    (change_version, "not compatible"),
    (empty, "postgresql.conf"),
]


def test_data_that_is_damaged_is_one_sentence(server: EmbeddedServer) -> None:
    for damage, says in DAMAGE:
        server.start()
        server.release()
        wait_for(lambda: not is_up(server), "the server to stop")
        damage(server.data)

        with pytest.raises(ServerError, match="does not start") as failed:
            server.start()

        assert says in str(failed.value), damage.__name__
        assert "\n" not in str(failed.value)
        assert str(failed.value).endswith("delete that folder.")
        shutil.rmtree(server.data)
    server.start()
    assert ask(server) == 42


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_who_is_stopped_in_the_middle_of_making_it_leaves_nothing_in_the_way(
    server: EmbeddedServer, python: Python, how: signal.Signals
) -> None:
    user = start_user(python, server.instance)
    wait_for(lambda: list(server.home.glob("*.new/*")), "the cluster to be half-made")
    user.send_signal(how)
    user.communicate(timeout=PATIENCE)
    assert not server.data.exists()

    server.start()

    assert ask(server) == 42
    # An initdb whose maker was killed may still be at it.
    server.release()
    wait_for(lambda: not is_up(server), "the server to stop")
    wait_for(lambda: not initdbs(server.home), "initdb to end")
    server.start()
    assert not list(server.home.glob("*.new"))


def test_a_leftover_pid_file_is_no_obstacle(server: EmbeddedServer) -> None:
    server.start()
    server.release()
    wait_for(lambda: not is_up(server), "the server to stop")
    # Ours is a process that lives, and is no server.
    (server.data / "postmaster.pid").write_text(f"{os.getpid()}\n{server.data}\n")
    folders.give(server.data / "postmaster.pid", folders.account_of(server.data))

    server.start()

    assert ask(server) == 42
