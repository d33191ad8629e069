"""Run PostgreSQL's terminal, psql."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence

from ..embedded.parameters import environment_without_libpq
from ..embedded.programs import psql
from ..postgres.connecting import shown
from ..postgres.server import Server


def run_psql(server: Server, arguments: Sequence[str]) -> int:
    """Run ``psql`` on the database of a server's URL, and return its exit status."""
    command = [str(psql()), shown(server.url), *arguments]
    embedded = server.embedded is not None
    environment = environment_without_libpq() if embedded else dict(os.environ)
    if server.url.password:
        environment["PGPASSWORD"] = str(server.url.password)
    # psql handles Ctrl-C itself: it cancels a statement, and does not end the session.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return subprocess.run(command, env=environment, check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)
