"""Start an embedded PostgreSQL server, and stop it when its last user is gone.

Runs by itself, as ``python -I -S keeper.py '<JSON>'``: it imports nothing but the standard
library, so it starts in a few milliseconds. It leaves a small process in the background, the
keeper, and exits when the server accepts connections, or prints why it does not.

Whoever uses the server holds a shared lock on the file ``users``. The keeper waits for the
exclusive one. The kernel releases a lock when its process ends, however it ends, so a run that
was killed keeps nothing alive.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

#: Seconds that a server gets to recover after a crash and to open its socket.
START_TIMEOUT = 60

#: Seconds that it gets to stop, before it is told so more firmly.
STOP_TIMEOUT = 15

#: Seconds that a server may take to say that it is there.
ANSWER_TIMEOUT = 5

_SPEAKS_TLS = bytes([0, 0, 0, 8, 4, 210, 22, 47])


def main() -> int:
    """Fork the keeper, and wait until it says that the server is up."""
    config: dict[str, Any] = json.loads(sys.argv[1])
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        _keep(config, writer)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    if answer != "ready":
        print(answer or "the keeper died", file=sys.stderr)
        return 1
    return 0


def _keep(config: dict[str, Any], writer: int) -> None:
    """Be the keeper. Never returns."""
    os.setsid()
    # Out of the terminal's and the caller's sight: an inherited pipe would keep it waiting.
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    home = Path(config["home"])
    with open(home / "keeper", "w") as keeper, open(home / "users", "w") as users:
        fcntl.flock(keeper, fcntl.LOCK_EX)
        try:
            server = _start(config)
        except (OSError, RuntimeError) as error:
            os.write(writer, str(error).encode())
            os._exit(1)
        os.write(writer, b"ready")
        os.close(writer)
        fcntl.flock(users, fcntl.LOCK_EX)
        _stop(config, server)
        # In this order: whoever is let in by the second must not find the first still held.
        fcntl.flock(keeper, fcntl.LOCK_UN)
        fcntl.flock(users, fcntl.LOCK_UN)
    os._exit(0)


def _start(config: dict[str, Any]) -> subprocess.Popen[bytes] | None:
    """Start the server; ``None`` if one is there whose keeper was killed."""
    deadline = time.monotonic() + START_TIMEOUT
    log = Path(config["data"], "testbed.log")
    while not answers(config["socket"]):
        _clear_stale_lock(Path(config["data"], "postmaster.pid"))
        _clear_stale_lock(Path(config["socket"] + ".lock"))
        server = _launch(config, log)
        if _comes_up(config, server, deadline):
            threading.Thread(target=_end_with, args=(server,), daemon=True).start()
            return server
        words = _last_words(log)
        # Processes of a server that was killed take a moment to notice; one whose keeper was
        # killed while it started takes a moment to answer.
        passes = "still in use" in words or "already exists" in words
        if time.monotonic() > deadline or not passes:
            raise RuntimeError(words)
        time.sleep(0.2)
    return None


def _launch(config: dict[str, Any], log: Path) -> subprocess.Popen[bytes]:
    with open(log, "wb") as output:
        return subprocess.Popen(
            [config["postgres"], "-D", config["data"], *config["options"]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=config["data"],
            **config["run_as"],
        )


def _comes_up(config: dict[str, Any], server: subprocess.Popen[bytes], deadline: float) -> bool:
    """Wait until a server accepts connections, or has ended."""
    while not _ready(Path(config["data"], "postmaster.pid"), server.pid):
        if server.poll() is not None:
            return False
        if time.monotonic() > deadline:
            server.send_signal(signal.SIGQUIT)
            server.wait()
            return False
        time.sleep(0.004)
    return True


def _clear_stale_lock(pid_file: Path) -> None:
    """Delete the lock file of a server that was killed, if its number is another process's now.

    Numbers come again soon in a container. PostgreSQL deletes the file itself only if there is
    no such process at all; and a dead one that nobody has waited for is one to it.
    """
    try:
        number = pid_file.read_text().split()[0]
        _, _, state = Path("/proc", number, "stat").read_text().rpartition(") ")
        name = Path("/proc", number, "comm").read_text().strip()
    except (OSError, IndexError):
        return
    if name != "postgres" or state.startswith("Z"):
        pid_file.unlink(missing_ok=True)


def _ready(pid_file: Path, pid: int) -> bool:
    """Whether the server has written that it accepts connections (the file's eighth line)."""
    try:
        lines = pid_file.read_text().splitlines()
    except OSError:
        return False
    return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"


def answers(path: str) -> bool:
    """Whether a server answers on the socket.

    It is asked whether it speaks TLS: the socket of one that was killed takes connections for a
    moment longer. https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(ANSWER_TIMEOUT)
        try:
            client.connect(path)
            client.sendall(_SPEAKS_TLS)
            return client.recv(1) in {b"N", b"S"}
        except OSError:
            return False


def _end_with(server: subprocess.Popen[bytes]) -> None:
    """End the keeper with a server that ends by itself, so that the next user starts another."""
    server.wait()
    os._exit(0)


def _stop(config: dict[str, Any], server: subprocess.Popen[bytes] | None) -> None:
    """Stop the server in an orderly way (a fast shutdown), so that its next start is quick."""
    if server is None:
        command = [config["pg_ctl"], "stop", "-D", config["data"], "-m", "fast", "-s"]
        subprocess.run(command, check=False, cwd="/", **config["run_as"])
        return
    # A server whose disk was full may never come to the end of a shutdown; the next start
    # recovers what an immediate one leaves.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        server.send_signal(number)
        try:
            server.wait(STOP_TIMEOUT)
            return
        except subprocess.TimeoutExpired:
            continue


def _last_words(log: Path) -> str:
    """What the server said last."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    # Without the time and the number of the process, which stand before.
    said = [line.partition("] ")[2] or line for line in lines if line]
    return " ".join(said[-4:]) or "it said nothing"


if __name__ == "__main__":
    sys.exit(main())
