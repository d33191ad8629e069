"""Isolation by real commits: after a test, what it touched is put back.

The work is done by functions that :func:`install` puts into the template (``reset.sql``), on a
connection of the engine's own, in one round trip.
"""

from __future__ import annotations

import time
from pathlib import Path

import psycopg
from psycopg import errors, sql

from ...errors import IsolationError
from ...postgres.connecting import Connection, reason

INSTALL = "".join(
    Path(__file__).with_name(name).read_text() for name in ("reset.sql", "layers.sql")
)

#: Seconds that a transaction which is still open after its test gets to end by itself.
GRACE = 0.2

#: Seconds after which a database that cannot be put back is given up.
PATIENCE = 10

#: Milliseconds that a reset waits for a lock.
LOCK_TIMEOUT = 2000


def install(connection: Connection) -> None:
    """Put what a reset needs into a database that is complete otherwise.

    :param connection: to the database, in autocommit mode.
    """
    with connection.transaction():
        connection.execute(INSTALL)
        connection.execute("SELECT flask_testbed.remember()")
    # By another transaction: the one that makes the objects is what they are compared with.
    connection.execute("UPDATE flask_testbed.catalog SET version = flask_testbed.catalog_version()")


def prepare(connection: Connection) -> None:
    """Make a connection one for resets: no foreign keys in the way, no endless wait."""
    connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT}")
    # What is put back need not survive the machine.
    connection.execute("SET synchronous_commit = off")
    # A superuser's right, unless granted; without it the functions go another way.
    if connection.info.parameter_status("is_superuser") == "on":
        connection.execute("SET session_replication_role = replica")


class NeedsClone(Exception):
    """Only a new clone of the template is as the database was."""


class ConnectionLost(Exception):
    """The connection for resets is no more: another one may do it."""


def reset(connection: Connection) -> list[str]:
    """Put the database back.

    :param connection: one that :func:`prepare` has seen.
    :returns: what had to be ended for it, in words: transactions that were left open.
    :raises NeedsClone: the schema was changed.
    :raises ConnectionLost: somebody has ended the connection.
    :raises IsolationError: something holds a lock and cannot be ended.
    """
    ended: list[str] = []
    started = time.monotonic()
    patience = started + GRACE
    while time.monotonic() < started + PATIENCE:
        answer = _call(connection)
        if answer is None:
            return ended
        kind, _, detail = answer.partition(":")
        if kind == "clone":
            raise NeedsClone(detail)
        if time.monotonic() > patience:
            ended += _end(connection, [int(pid) for pid in detail.split(",")])
            patience = time.monotonic() + GRACE
        time.sleep(0.002)
    raise IsolationError(
        "The test's database cannot be put back: other sessions begin transactions on it again"
        f" and again. They were: {'; '.join(ended)}. Join the test's threads."
    )


def bound_waits(connection: Connection, seconds: int | None) -> None:
    """Bound how long sessions that connect from now on wait for a lock; ``None``: as ever.

    :param connection: to the database in question.
    """
    bound = sql.SQL("RESET lock_timeout")
    if seconds is not None:
        bound = sql.SQL(f"SET lock_timeout = '{int(seconds)}s'")
    name = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("ALTER DATABASE {} {}").format(name, bound))


def put_sequences_back(connection: Connection) -> None:
    """Put back what alone a rollback leaves: the sequences."""
    connection.execute(
        "SELECT setval(oid, coalesce(last_value, start_value), last_value IS NOT NULL)"
        " FROM flask_testbed.sequence WHERE pg_sequence_last_value(oid) IS DISTINCT FROM last_value"
    )


def _call(connection: Connection) -> str | None:
    try:
        row = connection.execute("SELECT flask_testbed.reset()", prepare=True).fetchone()
    except errors.LockNotAvailable as error:
        raise IsolationError(
            "The test's database cannot be put back: another session holds a lock on it"
            f" ({reason(error)}). Is there a prepared transaction?"
        ) from error
    except psycopg.Error as error:
        if connection.broken:
            raise ConnectionLost from error
        raise IsolationError(f"The test's database cannot be put back: {reason(error)}.") from error
    return row[0] if row else None


def _end(connection: Connection, pids: list[int]) -> list[str]:
    """Terminate sessions; say what each was."""
    rows = connection.execute(
        "SELECT format('process %%s (%%s), whose last statement was: %%s', pid, state,"
        " left(regexp_replace(query, '\\s+', ' ', 'g'), 200)) FROM pg_stat_activity"
        " WHERE pid = ANY (%s) AND xact_start IS NOT NULL AND pg_terminate_backend(pid)",
        [pids],
    )
    return [row[0] for row in rows]
