"""The keeper: a small process that starts PostgreSQL, and stops it after its last user.

This file is a program of its own, which :func:`launch` runs. It imports nothing but the standard
library, so it starts in a few milliseconds. Its process forks the keeper, and exits when the
server accepts connections or has failed to start.

Each user of the server holds a shared lock on the file ``users``, and the keeper waits for the
exclusive lock. The kernel releases the locks of a process when it ends, even if it is killed, so
the server always stops.
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
from typing import Any, NamedTuple

#: Seconds within which a server must have recovered from a crash and opened its socket.
START_TIMEOUT = 60

#: Seconds to wait for a server to stop, before a stronger signal is sent.
STOP_TIMEOUT = 15

#: Seconds within which a running server must answer.
ANSWER_TIMEOUT = 5

#: https://www.postgresql.org/docs/current/protocol-message-formats.html
_SSL_REQUEST = bytes([0, 0, 0, 8, 4, 210, 22, 47])


class Config(NamedTuple):
    """What the keeper needs to know of its server."""

    home: str
    data: str
    socket: str
    postgres: str
    pg_ctl: str
    #: Settings of the server, each as ``name=value``.
    settings: list[str]
    #: Arguments of :class:`subprocess.Popen` that run a program as the server's account.
    run_as: dict[str, Any]


def launch(config: Config, environment: dict[str, str]) -> str | None:
    """Run the keeper in the background, and wait until its server accepts connections.

    :returns: the reason if the server does not start.
    """
    done = subprocess.run(
        [sys.executable, "-I", "-S", __file__, json.dumps(config._asdict())],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=environment,
    )
    return done.stderr.strip() if done.returncode else None


def main() -> int:
    """Fork the keeper, and wait for its report."""
    config = Config(**json.loads(sys.argv[1]))
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        _keep(config, writer)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    if answer != "ready":
        print(answer or "The keeper process has died.", file=sys.stderr)
        return 1
    return 0


def _keep(config: Config, writer: int) -> None:
    """Start the server, wait until it has no user, and stop it. Never return.

    :param writer: the pipe to which "ready" is written, or the reason why there is no server.
    """
    _detach()
    home = Path(config.home)
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
        # The order matters: a new user that gets the lock on `users` looks at `keeper` next.
        fcntl.flock(keeper, fcntl.LOCK_UN)
        fcntl.flock(users, fcntl.LOCK_UN)
    os._exit(0)


def _detach() -> None:
    """Leave the caller's session and its standard streams.

    A caller that reads from a pipe would otherwise wait until the keeper has closed it.
    """
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)


def _start(config: Config) -> subprocess.Popen[bytes] | None:
    """Start the server, or return None if it is running already because only its keeper died."""
    deadline = time.monotonic() + START_TIMEOUT
    log = Path(config.data, "testbed.log")
    while not answers(config.socket):
        _clear_stale_lock(Path(config.data, "postmaster.pid"))
        _clear_stale_lock(Path(config.socket + ".lock"))
        server = _run_postgres(config, log)
        if _wait_until_ready(config, server, deadline):
            threading.Thread(target=_exit_after, args=(server,), daemon=True).start()
            return server
        reason = _last_lines(log)
        # Both pass: the processes of a killed server take a moment to end, and a server whose
        # keeper was killed during the start takes a moment to answer.
        passes = "still in use" in reason or "already exists" in reason
        if time.monotonic() > deadline or not passes:
            raise RuntimeError(reason)
        time.sleep(0.2)
    return None


def _run_postgres(config: Config, log: Path) -> subprocess.Popen[bytes]:
    settings = [part for setting in config.settings for part in ("-c", setting)]
    with open(log, "wb") as output:
        return subprocess.Popen(
            [config.postgres, "-D", config.data, *settings],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=config.data,
            **config.run_as,
        )


def _wait_until_ready(config: Config, server: subprocess.Popen[bytes], deadline: float) -> bool:
    """Wait until a server accepts connections; return False if it has ended instead."""
    while not _is_ready(Path(config.data, "postmaster.pid"), server.pid):
        if server.poll() is not None:
            return False
        if time.monotonic() > deadline:
            server.send_signal(signal.SIGQUIT)
            server.wait()
            return False
        time.sleep(0.004)
    return True


def _is_ready(pid_file: Path, pid: int) -> bool:
    """Return whether the server has written that it is ready, on the file's eighth line."""
    try:
        lines = pid_file.read_text().splitlines()
    except OSError:
        return False
    return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"


def _clear_stale_lock(pid_file: Path) -> None:
    """Delete the lock file of a server that was killed.

    PostgreSQL deletes it only if no process has the number that it names. But in a container
    another process soon has the same number, and a killed server may stay a zombie.
    """
    try:
        number = pid_file.read_text().split()[0]
        _, _, state = Path("/proc", number, "stat").read_text().rpartition(") ")
        name = Path("/proc", number, "comm").read_text().strip()
    except (OSError, IndexError):
        return
    if name != "postgres" or state.startswith("Z"):
        pid_file.unlink(missing_ok=True)


def answers(path: str) -> bool:
    """Return whether a server answers on a socket.

    It is not enough to connect, since the socket of a killed server accepts connections for a
    moment. So the server is asked whether it supports TLS, which it answers before a login.
    https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(ANSWER_TIMEOUT)
        try:
            client.connect(path)
            client.sendall(_SSL_REQUEST)
            return client.recv(1) in {b"N", b"S"}
        except OSError:
            return False


def _exit_after(server: subprocess.Popen[bytes]) -> None:
    """End the keeper when the server ends by itself, so that the next user starts another one."""
    server.wait()
    os._exit(0)


def _stop(config: Config, server: subprocess.Popen[bytes] | None) -> None:
    """Stop the server with a fast shutdown, after which its next start has nothing to recover."""
    if server is None:
        command = [config.pg_ctl, "stop", "-D", config.data, "-m", "fast", "-s"]
        subprocess.run(command, check=False, cwd="/", **config.run_as)
        return
    # The shutdown may never end if the disk is full. The next start recovers from the stronger
    # signals.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        server.send_signal(number)
        try:
            server.wait(STOP_TIMEOUT)
            return
        except subprocess.TimeoutExpired:
            continue


def _last_lines(log: Path) -> str:
    """Return the last lines of the server's log, without the time and the process number."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    messages = [line.partition("] ")[2] or line for line in lines if line]
    return " ".join(messages[-4:]) or "Its log is empty."


if __name__ == "__main__":
    sys.exit(main())
