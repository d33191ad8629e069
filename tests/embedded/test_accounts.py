"""The embedded server and the accounts of others: nothing that they plant or lock disturbs it."""

from __future__ import annotations

import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flask_testbed.embedded import folders
from flask_testbed.embedded.server import EmbeddedServer
from flask_testbed.errors import ServerError
from tests.support.embedded import ask, is_up
from tests.support.servers import clear_away, rough_folder
from tests.support.waiting import wait_for


@pytest.fixture
def server(home: Path) -> Iterator[EmbeddedServer]:
    """A server that has been created and does not run."""
    made = EmbeddedServer(Path("/srv/toy/instance"), "test")
    made.start()
    made.release()
    wait_for(lambda: not is_up(made), "the server to stop")
    yield made
    made.release()


def test_what_the_servers_account_has_planted_is_not_followed(
    server: EmbeddedServer, home: Path, environment: pytest.MonkeyPatch
) -> None:
    precious = home / "precious"
    precious.write_text("still here")
    precious.chmod(0o600)
    environment.setenv("SECRET", "geheim")
    for link in (server.data / "testbed.log", server.data / "keeper", server.sockets / "users"):
        link.symlink_to(precious)

    server.start()

    assert ask(server) == 42
    assert precious.read_text() == "still here"
    assert stat.S_IMODE(precious.stat().st_mode) == 0o600
    # Who can open a file can lock it, and everybody can find out its name.
    files = [path for path in server.home.iterdir() if path.is_file()]
    assert {"keeper", "start", "users", "testbed.log"} <= {path.name for path in files}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    postmaster = psutil.Process(int((server.data / "postmaster.pid").read_text().split()[0]))
    assert "SECRET" not in postmaster.environ()


def test_a_link_in_the_place_of_a_lock_file_is_refused(home: Path) -> None:
    server = EmbeddedServer(Path("/srv/toy/instance"), "test")
    folders.make_folder(server.home)
    precious = home / "precious"
    precious.write_text("still here")
    (server.home / "users").symlink_to(precious)

    with pytest.raises(ServerError, match="cannot be kept in"):
        server.start()

    assert precious.read_text() == "still here"


def test_a_folder_that_another_user_has_made_faster_keeps_its_permissions(
    environment: pytest.MonkeyPatch,
) -> None:
    folder = rough_folder()
    victim = folder / "victim"
    victim.mkdir(mode=0o750)
    try:
        environment.setattr(Path, "exists", lambda path: path in folder.parents or path == folder)
        (folder / "home").symlink_to(victim)
        folders.make_folder(folder / "home")
    finally:
        environment.undo()
        mode = stat.S_IMODE(victim.stat().st_mode)
        clear_away(folder)
    assert mode == 0o750


def unknown(uid: int) -> pwd.struct_passwd:
    raise KeyError(f"getpwuid(): uid not found: {uid}")


def test_a_user_without_an_entry_in_the_database_of_users_is_one_sentence(
    home: Path, environment: pytest.MonkeyPatch
) -> None:
    """As with ``docker run --user 12345``: PostgreSQL's initdb requires an entry."""
    environment.setattr(pwd, "getpwuid", unknown)
    server = EmbeddedServer(Path("/srv/toy/instance"), "test")

    with pytest.raises(ServerError) as failed:
        server.start()

    uid = folders.account_of(server.data).uid
    assert f"the user ID {uid} has no entry in /etc/passwd" in str(failed.value)
    assert f"useradd --uid {uid}" in str(failed.value)
    assert not list(home.rglob("*.new"))


def test_a_server_that_exists_runs_for_a_user_without_an_entry(
    server: EmbeddedServer, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr(pwd, "getpwuid", unknown)

    server.start()

    assert ask(server) == 42
