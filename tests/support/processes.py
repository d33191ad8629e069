"""Processes of Python that tests start: what they print, and how they end."""

from __future__ import annotations

import json
import os
import re
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from .paths import ROOT
from .waiting import PATIENCE

FORK_SERVER = Path(__file__).with_name("fork_server.py")


@dataclass
class Outcome:
    """How a command or a run ended."""

    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All that was printed."""
        return self.out + self.err

    def counts(self) -> dict[str, int]:
        """How many tests passed, failed and so on, from pytest's last line."""
        lines = [line for line in self.out.splitlines() if re.search(r" in \d+\.\d+s", line)]
        assert lines, self.text
        last = lines[-1]
        return {word.rstrip("s"): int(n) for n, word in re.findall(r"(\d+) ([a-z]+)", last)}

    def assert_says(self, *parts: str, status: int = 1) -> None:
        """One clear sentence, the status of a failure, and no traceback."""
        assert self.status == status, self.text
        assert "Traceback" not in self.text, self.text
        for part in parts:
            assert part in self.text


class Process:
    """A process that :class:`Python` has forked; it does what tests use of ``subprocess.Popen``.

    :param streams: of this side of its standard input (if it is a pipe), output and error, and of
        what the server says of it.
    """

    def __init__(self, stdin: int | None, stdout: int, stderr: int, answers: int) -> None:
        self.stdin: IO[str] | None = None if stdin is None else os.fdopen(stdin, "w", 1)
        self.stdout: IO[str] = os.fdopen(stdout)
        self.stderr: IO[str] = os.fdopen(stderr)
        self.returncode: int | None = None
        self._answers: IO[bytes] = os.fdopen(answers, "rb", 0)
        self._printed = {self.stdout: b"", self.stderr: b""}
        self.pid = int(self._answers.readline())

    def __enter__(self) -> Process:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None:
            self.kill()  # The test has failed, so nothing else may end the process.
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()

    def poll(self) -> int | None:
        """Status of the process, or None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the process to end, and return its status."""
        if self.returncode is None:
            if not select.select([self._answers], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            self.returncode = int(self._answers.readline())
            self._answers.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Close its standard input, read what it prints, and wait for it to end."""
        if self.stdin is not None:
            self.stdin.close()
        end = time.monotonic() + (PATIENCE if timeout is None else timeout)
        with selectors.DefaultSelector() as events:
            for stream in self._printed:
                if not stream.closed:
                    events.register(stream, selectors.EVENT_READ, stream)
            while events.get_map():
                ready = events.select(max(0, end - time.monotonic()))
                if not ready:
                    raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or PATIENCE)
                for key, _ in ready:
                    data = os.read(key.fd, 65536)
                    self._printed[key.data] += data
                    if not data:
                        events.unregister(key.fileobj)
                        key.data.close()
        self.wait(max(0, end - time.monotonic()))
        out, err = (data.decode() for data in self._printed.values())
        return out, err

    def send_signal(self, number: int) -> None:
        """Send a signal to the process, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End the process without giving it time to clean up."""
        self.send_signal(signal.SIGKILL)


class Python:
    """A Python that has imported what toy projects need, and forks for each run of theirs.

    A fork starts in a tenth of the time of a new process. It has its own session, the variables,
    the folder and the standard streams that it is given, the default actions for signals, and no
    module of any project. What depends on the start of the interpreter itself (variables that begin
    with ``PYTHON``, options such as ``-I``, what is imported) needs a new process.

    :param modules: of this repository, to be imported as well. Its runs are in this folder alone.
    """

    def __init__(self, *modules: str) -> None:
        self._requests, theirs = socket.socketpair()
        self._lock = threading.Lock()
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, FORK_SERVER, str(theirs.fileno()), *modules],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )

    def close(self) -> None:
        """End all processes that still run, and wait until they have ended."""
        self._requests.close()
        self._server.wait(PATIENCE)

    def start(
        self,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        *,
        stdin: bool = False,
    ) -> Process:
        """Start what ``python`` would start with these arguments.

        :param command: ``-m module …``, ``-c code …`` or ``file …``.
        :param stdin: whether to make a pipe for its standard input, which is empty otherwise.
        """
        request = {
            "command": list(command),
            "folder": str(folder),
            "environment": {**environment, "PYTHONDONTWRITEBYTECODE": "1"},
        }
        ours: list[int | None] = []
        theirs = []
        for number in range(4):
            if number == 0 and not stdin:
                read, write = os.open(os.devnull, os.O_RDONLY), None
            else:
                read, write = os.pipe()
            ours.append(write if number == 0 else read)
            theirs.append(read if number == 0 else write)
        with self._lock:
            socket.send_fds(self._requests, [json.dumps(request).encode() + b"\n"], theirs)
        for descriptor in theirs:
            os.close(descriptor)
        return Process(*ours)

    def run(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Outcome:
        """Run a command to its end."""
        with self.start(command, folder, environment) as process:
            return finish(process)


def finish(
    process: Process | subprocess.Popen[str], signal_first: signal.Signals | None = None
) -> Outcome:
    """Wait for a process, which may first get a signal."""
    if signal_first is not None:
        process.send_signal(signal_first)
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"it did not end within {PATIENCE} s: {out}{err}")
    assert process.returncode is not None
    return Outcome(process.returncode, out, err)


def assert_no_password(outcome: Outcome, *passwords: str) -> None:
    """None of the passwords is in what was printed."""
    for password in passwords:
        assert password not in outcome.text


def words(*commands: Sequence[str]) -> list[Any]:
    """Parametrise a test by commands, each named by its words."""
    return [pytest.param(command, id=" ".join(command)) for command in commands]
