"""A transaction of the application's, within that of a test."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass(eq=False)
class InnerTransaction:
    """A transaction as the application sees it."""

    automatic: bool
    """It ends with its statement (autocommit)."""

    read_only: bool
    savepoint: str = ""
    """The name, while it has one."""

    writes: bool = False
    declares: bool = False
    """It may have opened cursors."""

    unclean: bool = False
    """Although it writes nothing, its savepoint is not as it was set."""

    nested: bool = False
    """It may have savepoints of its own."""

    covers: bool = False
    """To roll it back would undo, too, what another transaction has done."""

    aborted: bool = False
    """It has failed, and its savepoint was gone back to for the sake of another."""

    over: bool = False
    """Its test has ended."""

    settings: dict[str, str] = field(default_factory=dict)
    """What was set for it alone, and the values from before."""

    thread: threading.Thread = field(default_factory=threading.current_thread)
