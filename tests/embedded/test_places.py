"""Where the files of an embedded server are, whatever the folders are called."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest

from flask_testbed.embedded.server import EmbeddedServer
from flask_testbed.errors import ServerError
from flask_testbed.postgres.connecting import connect, shown
from tests.support.embedded import start_user, wait_until_up
from tests.support.processes import Python


@pytest.mark.parametrize("variable", ["PGPORT", "TMPDIR"])
def test_a_server_is_found_from_another_environment(
    home: Path, environment: pytest.MonkeyPatch, python: Python, variable: str
) -> None:
    if variable == "TMPDIR":
        environment.setenv("FLASK_TESTBED_HOME", str(home / ("x" * 75) / ("y" * 75)))
    other = {"PGPORT": "6543", "TMPDIR": str(home / "tmp")}[variable]
    (home / "tmp").mkdir(mode=0o777)
    instance = Path("/srv/regression/instance")
    users = [start_user(python, instance, **more) for more in ({variable: other}, {})]
    for user in users:
        wait_until_up(user)
    for user in users:
        user.communicate()


@pytest.mark.parametrize("name", ["a b", "a,b", "ü%20'\"?&=#", "$HOME;x"])
def test_a_folder_of_any_name(home: Path, environment: pytest.MonkeyPatch, name: str) -> None:
    environment.setenv("FLASK_TESTBED_HOME", str(home / name))
    server = EmbeddedServer(Path("/srv/toy/instance"), "test")
    try:
        server.start()
        with connect(server.url("postgres"), setting="x") as connection:
            assert connection.execute("SELECT 42").fetchone() == (42,)
        with psycopg.connect(shown(server.url("postgres"))) as connection:
            assert connection.execute("SELECT 42").fetchone() == (42,)
    finally:
        server.release()


def test_a_home_that_the_servers_account_cannot_reach_is_one_sentence(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    environment.setenv("FLASK_TESTBED_HOME", str(tmp_path / "closed" / "home"))
    server = EmbeddedServer(Path("/srv/toy/instance"), "test")
    if os.geteuid() != 0:
        pytest.skip("only root runs the server as somebody else")

    with pytest.raises(ServerError, match="FLASK_TESTBED_HOME") as failed:
        server.start()

    assert "ermission denied" in str(failed.value) or "reach" in str(failed.value)
