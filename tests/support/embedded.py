"""Users of an embedded server."""

from __future__ import annotations

import subprocess
import sys

import psycopg

from flask_testbed.embedded import EmbeddedServer

#: Uses a server until its input ends; says so when it is up.
USER = """
import sys
from pathlib import Path
from flask_testbed.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]), "test")
server.start()
print("up", flush=True)
sys.stdin.read()
"""


def is_up(server: EmbeddedServer) -> bool:
    """Whether it has not been stopped in an orderly way."""
    return (server.data / "postmaster.pid").exists()


def ask(server: EmbeddedServer, statement: str = "SELECT 42") -> object:
    url = server.url("postgres").set(drivername="postgresql")
    with psycopg.connect(url.render_as_string()) as connection:
        row = connection.execute(statement).fetchone()
    assert row is not None
    return row[0]


def start_user(server: EmbeddedServer) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", USER, str(server.instance)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
