"""The keeper: a small process that starts PostgreSQL, and stops it after its last user.

This file is a program of its own, which :mod:`.launching` runs. It imports nothing but the standard
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
import sys
import threading
from contextlib import suppress
from pathlib import Path
from select import select
from socket import AF_UNIX, socket
from subprocess import DEVNULL, Popen, TimeoutExpired
from time import CLOCK_MONOTONIC, clock_gettime, sleep
from typing import Any, BinaryIO, NamedTuple

#: Seconds within which a server must have recovered from a crash and opened its socket.
START_TIMEOUT = 60

#: Seconds to wait for a server to stop, before a stronger signal is sent.
STOP_TIMEOUT = 15

#: Seconds within which a running server must answer.
ANSWER_TIMEOUT = 5

#: Seconds within which a keeper has stopped its server or given up, however that goes.
STOP_AT_MOST = 3 * STOP_TIMEOUT + 5

#: The file of the server's log, in its home. The server's account could plant a link in the data
#: directory, which is its own.
LOG = "testbed.log"

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


def main() -> int:
    """Fork the keeper, and wait for its report."""
    config = Config(**json.loads(sys.argv[1]))
    _forget_the_caller()
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        _keep(config, writer)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    print(answer)
    return 0


def _forget_the_caller() -> None:
    """Have the usual actions for signals and permissions for files, whatever a test has changed."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.umask(0o077)


def _keep(config: Config, writer: int) -> None:
    """Start the server, wait until it has no user, and stop it. Never return.

    :param writer: the pipe to which "ready" is written, or the reason why there is no server.
    """
    _detach()
    home = Path(config.home)
    with open_private(home / "keeper") as keeper, open_private(home / "users") as users:
        try:
            lock(keeper, fcntl.LOCK_EX, STOP_AT_MOST)
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


def now() -> float:
    """Return the seconds of a clock that no test freezes."""
    return clock_gettime(CLOCK_MONOTONIC)


def open_private(path: Path) -> BinaryIO:
    """Open a file for writing that other users cannot open, and so cannot lock either.

    A link is not followed. The file is created if need be, and is not emptied.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.fdopen(os.open(path, flags, 0o600), "r+b", 0)
    with suppress(PermissionError):  # it belongs to another user
        os.fchmod(file.fileno(), 0o600)
    return file


def lock(file: BinaryIO, operation: int, seconds: float) -> None:
    """Lock a file as ``flock`` does, and wait for some time at most.

    :raises BlockingIOError: another process holds the lock.
    """
    end = now() + seconds
    while True:
        try:
            return fcntl.flock(file, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            if now() > end:
                raise
        sleep(0.005)


def _detach() -> None:
    """Leave the caller's session and its standard streams.

    A caller that reads from a pipe would otherwise wait until the keeper has closed it.
    """
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)


def _start(config: Config) -> Popen[bytes] | None:
    """Start the server, or return None if it is running already because only its keeper died."""
    deadline = now() + START_TIMEOUT
    log = Path(config.home, LOG)
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
        if now() > deadline or not passes:
            raise RuntimeError(reason)
        sleep(0.2)
    _watch(config)
    return None


def _run_postgres(config: Config, log: Path) -> Popen[bytes]:
    settings = [part for setting in config.settings for part in ("-c", setting)]
    with open_private(log) as output:
        output.truncate()
        return Popen(
            [config.postgres, "-D", config.data, *settings],
            stdin=DEVNULL,
            stdout=output,
            stderr=output,
            cwd=config.data,
            **config.run_as,
        )


def _wait_until_ready(config: Config, server: Popen[bytes], deadline: float) -> bool:
    """Wait until a server accepts connections; return False if it has ended instead."""
    while not _is_ready(Path(config.data, "postmaster.pid"), server.pid):
        if server.poll() is not None:
            return False
        if now() > deadline:
            _end(server, signal.SIGQUIT, signal.SIGKILL)
            return False
        sleep(0.004)
    return True


def _is_ready(pid_file: Path, pid: int) -> bool:
    """Return whether the server has written that it is ready, on the file's eighth line."""
    try:
        lines = _read(pid_file).splitlines()
    except OSError:
        return False
    return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"


def _clear_stale_lock(pid_file: Path) -> None:
    """Delete the lock file of a server that was killed.

    PostgreSQL deletes it only if no process has the number that it names. But in a container
    another process soon has the same number, and a killed server may stay a zombie.
    """
    try:
        number = str(int(_read(pid_file).split()[0]))
        _, _, state = Path("/proc", number, "stat").read_text().rpartition(") ")
        name = Path("/proc", number, "comm").read_text().strip()
    except (OSError, IndexError, ValueError):
        return
    if name != "postgres" or state.startswith("Z"):
        pid_file.unlink(missing_ok=True)


def _read(path: Path) -> str:
    """Return the beginning of a file in a folder of the server's account.

    A link is not followed, and a pipe is not waited for.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        return os.read(descriptor, 4096).decode(errors="replace")
    finally:
        os.close(descriptor)


def answers(path: str) -> bool:
    """Return whether a server answers on a socket.

    It is not enough to connect, since the socket of a killed server accepts connections for a
    moment. So the server is asked whether it supports TLS, which it answers before a login.
    https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL
    """
    with socket(AF_UNIX) as client:
        client.settimeout(ANSWER_TIMEOUT)
        try:
            client.connect(path)
            client.sendall(_SSL_REQUEST)
            return client.recv(1) in {b"N", b"S"}
        except OSError:
            return False


def _exit_after(server: Popen[bytes]) -> None:
    """End the keeper when the server ends by itself, so that the next user starts another one."""
    server.wait()
    os._exit(0)


def _watch(config: Config) -> None:
    """Do the same for a server that another keeper has started."""
    with suppress(OSError, AttributeError, IndexError, ValueError):  # only Linux has pidfd_open
        number = int(_read(Path(config.data, "postmaster.pid")).split()[0])
        ended = os.pidfd_open(number)
        watch = threading.Thread(target=_exit_after_process, args=(ended,), daemon=True)
        watch.start()


def _exit_after_process(ended: int) -> None:
    select([ended], [], [])
    os._exit(0)


def _stop(config: Config, server: Popen[bytes] | None) -> None:
    """Stop the server with a fast shutdown, after which its next start has nothing to recover."""
    if server is not None:
        # The shutdown may never end if the disk is full. The next start recovers from the
        # stronger signals.
        _end(server, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
        return
    for mode in ("fast", "immediate"):
        command = [config.pg_ctl, "stop", "-D", config.data, "-m", mode, "-s"]
        command += ["-t", str(STOP_TIMEOUT)]
        with Popen(command, cwd="/", **config.run_as) as stopping:
            if stopping.wait() == 0:
                return


def _end(server: Popen[bytes], *signals: int) -> None:
    """Send signals to a server, one after the other, until it has ended."""
    for number in signals:
        server.send_signal(number)
        server.send_signal(signal.SIGCONT)  # a process that was stopped hears of no signal
        with suppress(TimeoutExpired):
            server.wait(STOP_TIMEOUT)
            return


def _last_lines(log: Path) -> str:
    """Return the last lines of the server's log, without the time and the process number."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    messages = [line.partition("] ")[2] or line for line in lines if line]
    return " ".join(messages[-4:]) or "Its log is empty."


if __name__ == "__main__":
    sys.exit(main())
