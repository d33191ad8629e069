"""The program of :class:`tests.support.processes.Python`: it forks for each run it is asked for.

It has imported what toy projects import, as pytest imports it: with rewritten assertions; and the
modules of the working folder that its arguments name. It is started as a file, so that nothing of
this repository's tests is in its ``sys.modules``.

A request is a line of JSON, which comes with four file descriptors: the standard input, output and
error of the child, and a pipe for the answers, which are its process id and later its status.
"""

from __future__ import annotations

import atexit
import gc
import importlib
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

from execnet import gateway_io
from execnet.gateway_base import Popen2IO

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
    """Forks for each request that comes through its socket, and tells how its children ended.

    :param leads: whether each child is to lead a session of its own, which ends with the server.
    """

    def __init__(self, requests: socket.socket, *, leads: bool = True) -> None:
        self._requests = requests
        self._leads = leads
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
        for child in self._answers if self._leads else ():
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
        if self._leads:
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


class Worker(Popen2IO):
    """Takes the place of execnet's class that starts a worker of pytest-xdist.

    :param arguments: the program to start: a Python with ``-c`` and its code.
    """

    requests: socket.socket
    """Of the server whose children the workers are."""

    def __init__(self, arguments: list[str], execmodel: Any) -> None:
        (stdin, self._stdin), (self._stdout, stdout), (self._answers, answers) = (
            os.pipe() for _ in range(3)
        )
        request = {
            "command": arguments[-2:],
            "folder": os.getcwd(),
            "environment": dict(os.environ),
        }
        line = json.dumps(request).encode() + b"\n"
        socket.send_fds(self.requests, [line], [stdin, stdout, 2, answers])
        for descriptor in (stdin, stdout, answers):
            os.close(descriptor)
        super().__init__(os.fdopen(self._stdin, "wb"), os.fdopen(self._stdout, "rb"), execmodel)
        self._told = os.fdopen(self._answers, "rb", 0)
        self._pid = int(self._told.readline())

    def wait(self) -> int | None:
        """Wait for the worker to end, and return its status, unless the server has ended."""
        line = self._told.readline()
        return int(line) if line else None

    def kill(self) -> None:
        """End the worker."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)


def fork_workers(request: dict[str, Any]) -> dict[str, Any] | None:
    """Let pytest-xdist fork its workers from this process as it is now.

    :param request: a run with workers.
    :returns: what this process is to do: the same; or, in each worker, what the worker is to do;
        or nothing, in the server of the workers, when the run has ended.
    """
    Worker.requests, theirs = socket.socketpair()
    if os.fork():
        theirs.close()
        gateway_io.Popen2IOMaster = Worker
        return request
    Worker.requests.close()
    for descriptor in range(3):  # the run's own, whose end its reader waits for
        os.dup2(theirs.fileno(), descriptor, inheritable=False)
    return Server(theirs, leads=False).serve()


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
    sys.path.insert(0, "")
    for module in sys.argv[2:]:
        importlib.import_module(module)
    gc.freeze()
    request = Server(socket.socket(fileno=int(sys.argv[1]))).serve()
    if request is not None and any(word.startswith("-n") for word in request["command"]):
        request = fork_workers(request)
    if request is None:
        os._exit(0)
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
