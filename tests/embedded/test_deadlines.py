"""Nothing about the embedded server is waited for without an end."""

from __future__ import annotations

import fcntl
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from flask_testbed.embedded import keeper, server
from flask_testbed.embedded.server import EmbeddedServer
from flask_testbed.errors import ServerError
from tests.support.embedded import ask, is_up
from tests.support.servers import clear_away, rough_folder
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A folder in which the servers of these tests are."""
    home = rough_folder()
    yield home
    clear_away(home)


@pytest.fixture
def pair(
    cluster: Path, environment: pytest.MonkeyPatch
) -> Iterator[tuple[EmbeddedServer, EmbeddedServer]]:
    """A server that is used, and the same one as another process would use it."""
    environment.setenv("FLASK_TESTBED_HOME", str(cluster))
    for module in (keeper, server):
        environment.setattr(module, "ANSWER_TIMEOUT", 0.3)
    environment.setattr(server, "NOTICE_STOP", 0.1)
    first, second = (EmbeddedServer(Path("/srv/toy/instance"), "test") for _ in range(2))
    first.start()
    yield first, second
    first.release()
    second.release()
    wait_for(lambda: not is_up(first), "the server to stop")


def postmaster(used: EmbeddedServer) -> psutil.Process:
    return psutil.Process(int((used.data / "postmaster.pid").read_text().split()[0]))


def keeper_of(used: EmbeddedServer) -> psutil.Process:
    found = psutil.process_iter(["cmdline"])
    commands = {process: " ".join(process.info["cmdline"] or []) for process in found}
    [kept] = [
        one for one, text in commands.items() if "keeper.py" in text and str(used.home) in text
    ]
    return kept


def test_a_server_without_its_socket_is_one_sentence_then_a_new_server(
    pair: tuple[EmbeddedServer, EmbeddedServer],
) -> None:
    first, second = pair
    before = postmaster(first).pid
    (first.sockets / ".s.PGSQL.5432").unlink()

    with pytest.raises(ServerError, match=r"does not answer at .* other processes use it"):
        second.start()
    first.release()
    second.start()

    assert ask(second) == 42
    assert postmaster(second).pid != before


def test_a_server_that_is_suspended_is_one_sentence_then_a_new_server(
    pair: tuple[EmbeddedServer, EmbeddedServer],
) -> None:
    first, second = pair
    before = postmaster(first)
    before.send_signal(signal.SIGSTOP)

    with pytest.raises(ServerError, match="does not answer at"):
        second.start()
    first.release()
    second.start()

    assert ask(second) == 42
    assert postmaster(second).pid != before.pid


def test_a_server_that_was_adopted_and_then_killed_is_started_again(
    pair: tuple[EmbeddedServer, EmbeddedServer],
) -> None:
    first, second = pair
    keeper_of(first).kill()
    second.start()
    adopted = postmaster(second)
    adopted.kill()
    adopted.wait()
    second.release()

    second.start()

    assert ask(second) == 42
    assert postmaster(second).pid != adopted.pid


@pytest.mark.parametrize(
    ("name", "seconds"), [("start", "WAIT_AT_MOST"), ("users", "STOP_AT_MOST")]
)
def test_a_process_that_holds_a_lock_for_ever_is_one_sentence(
    pair: tuple[EmbeddedServer, EmbeddedServer],
    environment: pytest.MonkeyPatch,
    name: str,
    seconds: str,
) -> None:
    first, second = pair
    environment.setattr(server, seconds, 0.1)
    if name == "users":
        first.release()
        wait_for(lambda: not is_up(first), "the server to stop")
    with closing(keeper.open_private(first.home / name)) as held:
        keeper.lock(held, fcntl.LOCK_EX, 60)
        with pytest.raises(ServerError, match="Another process has been starting or stopping"):
            second.start()
    second.start()
    assert ask(second) == 42
