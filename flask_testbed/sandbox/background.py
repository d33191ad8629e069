"""Threads and sessions that go on writing when their test has ended."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from weakref import WeakSet

from ..isolation.commit.reset import describe, pending_changes, wait
from ..postgres.connecting import Connection
from .connections import Connections

#: How often the database is looked at when a test has left a thread or a session that is new. Each
#: is suspected only once, so a pool of threads costs no more.
LOOKS = 20

#: Milliseconds between two looks.
PAUSE = 5

#: After so many suspicions without reason in a row, which cost 0.1 s each, one look must do.
INNOCENT = 10


@dataclass(frozen=True)
class Suspects:
    """What may go on writing: descriptions of threads, and process identifiers of sessions."""

    threads: list[str]
    sessions: set[int]


class Background:
    """Notices what works on a database while no test is running."""

    def __init__(self) -> None:
        self._used_by: set[threading.Thread] = set()
        self._known_threads: WeakSet[threading.Thread] = WeakSet()
        self._known_sessions: list[int] = []
        self._innocent = 0

    def __repr__(self) -> str:
        return f"<Background: {len(self._used_by)} threads since the last reset>"

    def note_thread(self) -> None:
        """Note that the current thread uses the database."""
        self._used_by.add(threading.current_thread())

    def find_suspects(self, sessions: list[int], connections: Connections) -> Suspects | None:
        """Return what was not there at the last reset, and may go on writing after this one.

        :param sessions: process identifiers of the sessions on the database.
        :param connections: those that belong to pools.
        """
        threads = self._new_threads() if self._used_by else []
        others: set[int] = set()
        if sessions != self._known_sessions:
            others = set(sessions).difference(self._known_sessions, connections.pids)
            self._known_sessions = sessions
        return Suspects(threads, others) if threads or others else None

    def find_writer(self, connection: Connection, suspects: Suspects) -> str | None:
        """Return what goes on writing after a reset, for a message, or None.

        :param connection: for resets.
        """
        for _ in range(LOOKS if self._innocent < INNOCENT else 1):
            tables = pending_changes(connection)
            if tables is not None:
                self._innocent = 0
                who = [*suspects.threads, *describe(connection, suspects.sessions)]
                return f"{'; '.join(who) or 'a session that has ended'} (to {tables})"
            wait(connection, PAUSE)
        self._innocent += 1
        return None

    def _new_threads(self) -> list[str]:
        """Return those that have used the database, are still alive, and are not known."""
        self._used_by.discard(threading.current_thread())
        new = [thread for thread in self._used_by if thread not in self._known_threads]
        self._used_by.clear()
        self._known_threads.update(new)
        return [f"the thread {thread.name!r}" for thread in new if thread.is_alive()]
