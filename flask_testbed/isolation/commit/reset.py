"""Isolation by real commits: after a test, what it touched is put back.

The work is done by functions that :func:`install` puts into the template (``reset.sql``), on a
connection of the engine's own, in one round trip.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psycopg
from psycopg import errors, sql

from ...errors import IsolationError, ServerError
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

#: How often something is tried whose connection is ended meanwhile by somebody else.
ATTEMPTS = 5

# What libpq says of a connection that is ended before it is made.
_ENDED = ("terminating connection", "closed the connection unexpectedly")

# Sessions that still are in a transaction on this database. The planner may evaluate the conditions
# of a WHERE in any order, so nothing that has an effect may stand beside these: what is done with
# the sessions is done in the select list of a query that reads the finished list.
_OPEN = (
    "WITH open AS MATERIALIZED (SELECT * FROM pg_stat_activity WHERE pid = ANY (%s)"
    " AND datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend') "
)

T = TypeVar("T")


def install(connection: Connection) -> None:
    """Put what a reset needs into a database that is complete otherwise.

    :param connection: to the database, in autocommit mode.
    """
    with connection.transaction():
        connection.execute(INSTALL)
        connection.execute("SELECT flask_testbed.remember()")
    # By another transaction: the one that makes the objects is what they are compared with.
    connection.execute("UPDATE flask_testbed.catalog SET version = flask_testbed.catalog_version()")


def persist(connect: Callable[[], Connection], work: Callable[[Connection], T]) -> T:
    """Do something on a connection, and connect anew if the connection is ended meanwhile.

    A test may end every backend, or restart the server.

    :param connect: returns a connection, a new one if the last was ended.
    :param work: may be called several times.
    :raises IsolationError: the connection was ended :data:`ATTEMPTS` times.
    """
    for _ in range(ATTEMPTS):
        connection = None
        try:
            connection = connect()
            return work(connection)
        except ServerError as error:
            if not any(words in str(error) for words in _ENDED):
                raise
            last: Exception = error
        except psycopg.Error as error:
            if connection is None or not connection.broken:
                raise
            last = error
    raise IsolationError(
        "The test's database cannot be put back: the engine's connection to it was ended"
        f" {ATTEMPTS} times in a row ({reason(last)}). Let the test's threads, and other programs,"
        " not end sessions that are not their own."
    ) from last


def prepare(connection: Connection) -> Connection:
    """Make a connection one for resets: no foreign keys in the way, no endless wait. Returns it."""
    connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT}")
    # What is put back need not survive the machine.
    connection.execute("SET synchronous_commit = off")
    # A superuser's right, unless granted; without it the functions go another way.
    if connection.info.parameter_status("is_superuser") == "on":
        connection.execute("SET session_replication_role = replica")
    return connection


class NeedsClone(Exception):
    """Only a new clone of the template is as the database was."""


def reset(connection: Connection, ended: list[str] | None = None) -> list[str]:
    """Put the database back.

    :param connection: one that :func:`prepare` has seen.
    :param ended: what an earlier attempt had to end.
    :returns: what had to be ended for it, in words: transactions that were left open.
    :raises NeedsClone: the schema was changed.
    :raises psycopg.Error: somebody has ended the connection; another one may do it.
    :raises IsolationError: something holds a lock and cannot be ended.
    """
    ended = [] if ended is None else ended
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
            _end(connection, [int(pid) for pid in detail.split(",")], ended)
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
            raise
        raise IsolationError(f"The test's database cannot be put back: {reason(error)}.") from error
    return row[0] if row else None


def _end(connection: Connection, pids: list[int], ended: list[str]) -> None:
    """Terminate sessions that are in a transaction on this database; add what each was.

    :raises IsolationError: the role may not end one of them.
    """
    found = connection.execute(
        _OPEN  # noqa: S608
        + "SELECT format('process %%s of the user %%s (%%s), whose last statement was: %%s',"
        " pid, usename, state, left(regexp_replace(query, '\\s+', ' ', 'g'), 200)) FROM open",
        [pids],
    ).fetchall()
    # Noted before, since this connection may be ended, too, by whoever else is ending sessions.
    ended += [row[0] for row in found if row[0] not in ended]
    try:
        statement = _OPEN + "SELECT pg_terminate_backend(pid) FROM open"  # noqa: S608
        connection.execute(statement, [pids])
    except errors.InsufficientPrivilege as error:
        raise IsolationError(
            "The test's database cannot be put back: a transaction on it is open that the role"
            f" {connection.info.user!r} may not end ({reason(error)}). Open are:"
            f" {'; '.join(row[0] for row in found)}. Close what the test opens as another role."
        ) from error
