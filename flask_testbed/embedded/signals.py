"""What an application or a test has done with signals must not reach the server."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def children_awaited() -> Iterator[None]:
    """Do not ignore SIGCHLD inside.

    A program that ignores it is not told how its children have ended. Children would ignore it as
    well, and initdb does not work then. Only the main thread can change it.
    """
    ignored = signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
    if not ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
