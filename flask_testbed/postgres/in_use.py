"""Whether a database is in use: a run of the tests holds its lock, or a program is connected."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import sleep

from ..clock import seconds
from ..errors import RefusedError
from .cluster import Cluster
from .database import Database
from .session import is_pooled

#: Seconds that a pooler gets to take back the session of a connection that has just been closed.
_GRACE = 2

# The last statement of PgBouncer in a session that no program uses.
_POOLED = (
    "WITH pooled AS MATERIALIZED (SELECT pid FROM pg_stat_activity WHERE datname = %s"
    " AND usename = current_user AND state = 'idle' AND query = 'DISCARD ALL')"
    " SELECT pg_terminate_backend(pid, 5000) FROM pooled"
)


def lock_database(cluster: Cluster, name: str) -> None:
    """Lock a database against test runs and commands, until the connection ends.

    :raises RefusedError: one of them holds its lock.
    """
    if not cluster.locks.try_lock(name):
        raise RefusedError(f"Refused: a test run is using the database {name!r}. Let it end first.")


@contextmanager
def locked_database(cluster: Cluster, name: str) -> Iterator[None]:
    """Lock a database inside. Raises as :func:`lock_database`."""
    lock_database(cluster, name)
    try:
        yield
    finally:
        cluster.locks.unlock(name)


def end_pooled_sessions(cluster: Cluster, name: str) -> None:
    """End the sessions in a database that a pooler keeps although no program uses them."""
    if not is_pooled(cluster.connection):
        return
    end = seconds() + _GRACE
    while cluster.sessions(name) and seconds() < end:
        cluster.execute(_POOLED, [name])
        sleep(0.005)


def check_no_sessions(cluster: Cluster, database: Database, *, force: bool = False) -> None:
    """Refuse a database to which a program is connected.

    :param force: accept it, since its sessions will be ended.
    :raises RefusedError: says who is connected, from where, and since when.
    """
    end_pooled_sessions(cluster, database.name)
    sessions = cluster.sessions(database.name)
    if sessions and not force:
        raise RefusedError(
            f"Refused: the database {database.name!r} is in use by {'; '.join(sessions)}."
            " Let them disconnect, or end them with --force."
        )
