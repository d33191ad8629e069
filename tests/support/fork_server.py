"""The program of :class:`tests.support.processes.Python`: it forks for each run it is asked for.

It has imported what toy projects import, as pytest imports it: with rewritten assertions. It is
started as a file, so that nothing of this repository's tests is in its ``sys.modules``.

A request is a line of JSON, which comes with four file descriptors: the standard input, output and
error of the child, and a pipe for the answers, which are its process id and later its status.
"""

from __future__ import annotations

import atexit
import gc
import io
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import tempfile
import threading
import time
import types
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

# Where installed packages are: neither in the folder of this file, nor in PYTHONPATH.
_GIVEN = os.environ.get("PYTHONPATH", "")
_INSTALLED = sys.path[1 + len(_GIVEN.split(os.pathsep) if _GIVEN else []) :]


class _Imports:
    """A plugin that imports what toy projects import, while pytest rewrites what is imported."""

    def pytest_configure(self) -> None:

        import flask_testbed.cli  # noqa: F401


def warm_up() -> None:
    """Collect the tests of an empty folder, which imports pytest, its plugins and ``_Imports``."""
    import pytest

    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()) as told:
        options = ["--collect-only", "-p", "no:cacheprovider", "-p", "no:randomly"]
        status = pytest.main([*options, "--rootdir", folder, folder], plugins=[_Imports()])
    assert status == pytest.ExitCode.NO_TESTS_COLLECTED, told.getvalue()
    assert threading.active_count() == 1


class Server:
    """Forks for each request that comes through its socket, and tells how its children ended."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._answers: dict[int, int] = {}  # pipes, by the children that have not ended
        self._woken, self._wakes = os.pipe()
        os.set_blocking(self._wakes, False)

    def serve(self) -> dict[str, Any] | None:
        """Return a request in the child that is to do it, and None when no more will come."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)
        with selectors.DefaultSelector() as events:
            events.register(self._requests, selectors.EVENT_READ)
            events.register(self._woken, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in events.select()]
                if self._woken in ready:
                    os.read(self._woken, 4096)
                    self._tell()
                if self._requests in ready:
                    line, descriptors, _, _ = socket.recv_fds(self._requests, 65536, 4)
                    if not line:
                        break
                    while not line.endswith(b"\n"):
                        line += self._requests.recv(65536)
                    if self._fork(descriptors):
                        return json.loads(line)
        for child in self._answers:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        return None

    def _fork(self, descriptors: list[int]) -> bool:
        child = os.fork()
        if child:
            self._answers[child] = descriptors[3]
            for descriptor in descriptors[:3]:
                os.close(descriptor)
            return False
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, descriptor in enumerate(descriptors[:3]):
            os.dup2(descriptor, number)
        os.write(descriptors[3], b"%d\n" % os.getpid())
        for descriptor in (*descriptors, *self._answers.values(), self._woken, self._wakes):
            os.close(descriptor)
        self._requests.close()
        return True

    def _tell(self) -> None:
        for child in list(self._answers):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                answer = self._answers.pop(child)
                os.write(answer, b"%d\n" % os.waitstatus_to_exitcode(status))
                os.close(answer)


def run(command: list[str], folder: str, environment: dict[str, str]) -> None:
    """Do what ``python *command`` does when it is started in a folder.

    :param command: ``-m module …``, ``-c code …`` or ``file …``.
    """
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
    _open_standard_streams()
    _seed_generators()
    given = environment.get("PYTHONPATH")
    sys.path[:] = [*(given.split(os.pathsep) if given else []), *_INSTALLED]
    if command[0] == "-m":
        sys.path.insert(0, folder)
        sys.argv[:] = command[1:]
        runpy.run_module(command[1], run_name="__main__", alter_sys=True)
    elif command[0] == "-c":
        sys.path.insert(0, "")
        sys.argv[:] = ["-c", *command[2:]]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(command[1], "<string>", "exec"), vars(main))
    else:
        sys.path.insert(0, str(Path(command[0]).resolve().parent))
        sys.argv[:] = command
        runpy.run_path(command[0], run_name="__main__")


def _open_standard_streams() -> None:
    """Replace the streams of the server: they know whether they are a terminal."""
    terminal = os.isatty(1)
    sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", 1 if terminal else -1, closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)


def _seed_generators() -> None:
    """Let no two children draw the same. Python's own generator does so by itself."""
    import faker.generator
    from factory.random import randgen

    from flask_testbed.randomness import generator

    for random in (faker.generator.random, randgen, generator()):
        random.seed()


def main() -> None:
    warm_up()
    gc.freeze()
    request = Server(socket.socket(fileno=int(sys.argv[1]))).serve()
    if request is None:
        return
    status: int | None = None

    def leave() -> None:
        """End before Python clears all modules, which takes longer than most runs."""
        if status is not None:
            sys.stdout.flush()
            os._exit(status)

    atexit.register(leave)  # the first of all is called last
    try:
        run(**request)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    status = 0


if __name__ == "__main__":
    main()
