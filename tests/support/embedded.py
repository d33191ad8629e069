"""Users of an embedded server."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from flask_testbed.embedded import EmbeddedServer

from .paths import ROOT
from .processes import Process, Python

#: Uses a server until its input ends, and says when it has connected to it.
USER = """
import sys
from pathlib import Path
from flask_testbed.embedded import EmbeddedServer
from flask_testbed.postgres.connecting import connect
server = EmbeddedServer(Path(sys.argv[1]), "test")
server.start()
with connect(server.url("postgres"), setting="x"):
    print("up", flush=True)
sys.stdin.read()
"""


def is_up(server: EmbeddedServer) -> bool:
    """Whether it has not been stopped in an orderly way."""
    return (server.data / "postmaster.pid").exists()


def ask(server: EmbeddedServer, statement: str = "SELECT 42") -> object:
    """Return what a statement gives, sent through a connection of the test's own."""
    url = server.url("postgres").set(drivername="postgresql")
    with psycopg.connect(url.render_as_string()) as connection:
        row = connection.execute(statement).fetchone()
    assert row is not None
    return row[0]


def start_user(python: Python, instance: Path, **environment: str) -> Process:
    """Start a process that uses the server of an instance folder until its input ends."""
    command = ("-c", USER, str(instance))
    return python.start(command, ROOT, os.environ | environment, stdin=True)


def wait_until_up(user: Process | subprocess.Popen[str]) -> None:
    """Wait until a user of a server says that it is up."""
    assert user.stdout is not None
    assert user.stderr is not None
    if user.stdout.readline() != "up\n":
        pytest.fail(user.stderr.read())
