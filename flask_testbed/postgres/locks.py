"""Locks on names, held on the server: what is locked is in use, on whichever machine.

They end with the connection that holds them, so whoever dies holds none.
https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import errors, sql

from ..errors import DatabaseError
from .administrator import Administrator, Statement

#: Seconds of waiting that are not worth a word.
SILENCE = 1

#: Seconds that somebody else's work on what one waits for may take.
PATIENCE = 600

_HOLDERS = """
    SELECT a.pid, coalesce(host(a.client_addr), 'this machine'), a.usename,
        to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS')
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
        AND (l.classid::bigint << 32 | l.objid::bigint) = %s
"""


class Locks(Administrator):
    """An administrator who can lock names."""

    def try_lock(self, name: str) -> bool:
        """Take the exclusive lock on a name, unless somebody else has it."""
        return bool(self._ask("SELECT pg_try_advisory_lock(%s)", name))

    def is_locked(self, name: str) -> bool:
        """Whether somebody holds a lock on a name. Takes none."""
        return self._ask(_HOLDERS, name) is not None

    @contextmanager
    def locked(self, name: str, work: str) -> Iterator[None]:
        """Hold the exclusive lock on a name, after whoever has it.

        :param work: what those do who hold it, for who waits: "to build …".
        :raises DatabaseError: they are at it for longer than :data:`PATIENCE`.
        """
        if not self.try_lock(name):
            self._wait_for(name, work)
        try:
            yield
        finally:
            self.unlock(name)

    def _wait_for(self, name: str, work: str) -> None:
        if self._lock_within(name, SILENCE):
            return
        self.tell(f"Waiting for {self._holder(name)} {work} …")
        if not self._lock_within(name, PATIENCE):
            raise DatabaseError(
                f"Waited {PATIENCE} s in vain for {self._holder(name)} {work}. See what that"
                " process does, or end it; nothing half-made is left."
            )

    def _lock_within(self, name: str, seconds: float) -> bool:
        bound = sql.SQL("SET lock_timeout = {}").format(sql.Literal(f"{seconds}s"))
        self._execute(bound)
        try:
            # Not _ask(): to time out is no fault of the server's.
            self.connection.execute("SELECT pg_advisory_lock(%s)", [_key(name)])
        except errors.LockNotAvailable:
            return False
        finally:
            if not self.connection.closed:
                self._execute("RESET lock_timeout")
        return True

    def _holder(self, name: str) -> str:
        """Who holds the lock on a name, in words."""
        row = self._execute(_HOLDERS, [_key(name)]).fetchone()
        if row is None:
            return "another process"
        pid, place, user, since = row
        return f"{user} from {place} (server process {pid}, since {since})"

    def lock_shared(self, name: str) -> None:
        """Take the shared lock on a name: it is in use."""
        self._ask("SELECT pg_advisory_lock_shared(%s)", name)

    def unlock(self, name: str) -> None:
        """Give back the exclusive lock. A connection that was ended has given back all."""
        if not self.connection.closed:
            self._ask("SELECT pg_advisory_unlock(%s)", name)

    def unlock_shared(self, name: str) -> None:
        """Give back the shared lock. A connection that was ended has given back all."""
        if not self.connection.closed:
            self._ask("SELECT pg_advisory_unlock_shared(%s)", name)

    def _ask(self, statement: Statement, name: str) -> Any:
        """What a statement about the lock on a name gives first; ``None`` without a row."""
        row = self._execute(statement, [_key(name)]).fetchone()
        return row[0] if row else None


def _key(name: str) -> int:
    digest = hashlib.sha256(f"flask-testbed:{name}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)
