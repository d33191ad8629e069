"""Isolation by real commits: after a test, its database is reset.

The work is done by the SQL functions that :mod:`.install` installs into the template, on a
connection of the testbed's own, in one round trip.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg
from psycopg import errors, sql

from ...errors import IsolationError, ServerError
from ...postgres.connecting import Connection, reason

logger = logging.getLogger(__name__)

#: Seconds that a transaction which is still open after its test gets to end by itself.
GRACE = 0.2

#: Seconds after which a reset fails if other sessions begin transactions again and again.
PATIENCE = 10

#: Milliseconds that a reset waits for a lock.
LOCK_TIMEOUT = 2000

#: How often work is tried whose connection another session terminates.
ATTEMPTS = 5

# What libpq says if a connection is terminated before it is established.
_TERMINATED = ("terminating connection", "closed the connection unexpectedly")

_RESET = "SELECT NULL, flask_testbed.reset()"
# The list is made before the reset: a select list is evaluated from left to right.
_RESET_AND_TELL = "SELECT flask_testbed.pending_changes(), flask_testbed.reset()"

# The sessions of a list that still are in a transaction on this database. The planner may evaluate
# the conditions of a WHERE in any order, so nothing that has an effect may stand beside these:
# what is done with the sessions is done in the select list of a query that reads this one.
_OPEN = (
    "WITH open AS MATERIALIZED (SELECT * FROM pg_stat_activity WHERE pid = ANY (%s)"
    " AND datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend') "
)

T = TypeVar("T")


class NeedsClone(Exception):
    """Only a new clone of the template is as the database was."""


def persist(connect: Callable[[], Connection], work: Callable[[Connection], T]) -> T:
    """Do some work on a connection, and connect anew if the connection is terminated meanwhile.

    A test may terminate every session, or restart the server.

    :param connect: returns a connection, and a new one if the last was terminated.
    :param work: may be called several times.
    :raises IsolationError: the connection was terminated :data:`ATTEMPTS` times.
    """
    for _ in range(ATTEMPTS):
        connection = None
        try:
            connection = connect()
            return work(connection)
        except ServerError as error:
            if not any(words in str(error) for words in _TERMINATED):
                raise
            last: Exception = error
        except psycopg.Error as error:
            if connection is None or not connection.broken:
                raise
            last = error
    raise IsolationError(
        "The test's database cannot be reset: the testbed's connection to it was terminated"
        f" {ATTEMPTS} times in a row ({reason(last)}). Let the test's threads, and other programs,"
        " terminate no session but their own."
    ) from last


def prepare(connection: Connection) -> Connection:
    """Prepare a connection for resets: bound its waits and skip foreign keys. Return it."""
    connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT}")
    # A reset need not survive a crash of the machine.
    connection.execute("SET synchronous_commit = off")
    # Only a superuser may skip foreign keys; the functions for other roles check them.
    if connection.info.parameter_status("is_superuser") == "on":
        connection.execute("SET session_replication_role = replica")
    return connection


def reset(connection: Connection, ended: list[str] | None = None) -> list[str]:
    """Reset a database.

    :param connection: to the database, as :func:`prepare` has returned it.
    :param ended: the sessions that an earlier attempt has terminated.
    :returns: a description of each session that was terminated, since its transaction was open.
    :raises NeedsClone: the schema was changed.
    :raises psycopg.Error: the connection was terminated. Another one can be used.
    :raises IsolationError: a session holds a lock and cannot be terminated.
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
            _terminate(connection, [int(pid) for pid in detail.split(",")], ended)
            patience = time.monotonic() + GRACE
        time.sleep(0.002)
    raise IsolationError(
        "The test's database cannot be reset: other sessions begin transactions on it again and"
        f" again. They were: {'; '.join(ended)}. Join the test's threads."
    )


def reset_sequences(connection: Connection) -> None:
    """Reset the sequences, which a rollback does not."""
    connection.execute("SELECT flask_testbed.reset_sequences()")


def bound_waits(connection: Connection, seconds: int | None) -> None:
    """Bound how long the sessions that connect to a database from now on wait for a lock.

    :param connection: to the database.
    :param seconds: ``None`` removes the bound.
    """
    bound = sql.SQL("RESET lock_timeout")
    if seconds is not None:
        bound = sql.SQL(f"SET lock_timeout = '{int(seconds)}s'")
    name = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("ALTER DATABASE {} {}").format(name, bound))


def _call(connection: Connection) -> str | None:
    """Call ``flask_testbed.reset()``, log it, and return its answer."""
    telling = logger.isEnabledFor(logging.DEBUG)
    started = time.perf_counter()
    try:
        answer: str | None
        statement = _RESET_AND_TELL if telling else _RESET
        [(changes, answer)] = connection.execute(statement, prepare=True).fetchall()
    except errors.LockNotAvailable as error:
        raise IsolationError(
            "The test's database cannot be reset: another session holds a lock on it"
            f" ({reason(error)}). Is there a prepared transaction?"
        ) from error
    except psycopg.Error as error:
        if connection.broken:
            raise
        raise IsolationError(f"The test's database cannot be reset: {reason(error)}.") from error
    if telling:
        logger.debug(
            "reset %s: %s (%s, %.1f ms)",
            connection.info.dbname,
            changes or "no rows",
            answer or "done",
            (time.perf_counter() - started) * 1000,
        )
    return answer


def _terminate(connection: Connection, pids: list[int], ended: list[str]) -> None:
    """Terminate sessions that are in a transaction on this database, and describe them.

    :param ended: gets the description of each.
    :raises IsolationError: the role may not terminate one of them.
    """
    found = connection.execute(
        _OPEN  # noqa: S608
        + "SELECT format('process %%s of the user %%s (%%s), whose last statement was: %%s',"
        " pid, usename, state, left(regexp_replace(query, '\\s+', ' ', 'g'), 200)) FROM open",
        [pids],
    ).fetchall()
    # Described first, since this connection may be terminated as well meanwhile.
    ended += [row[0] for row in found if row[0] not in ended]
    try:
        statement = _OPEN + "SELECT pg_terminate_backend(pid) FROM open"  # noqa: S608
        connection.execute(statement, [pids])
    except errors.InsufficientPrivilege as error:
        raise IsolationError(
            "The test's database cannot be reset: a transaction on it is open that the role"
            f" {connection.info.user!r} may not terminate ({reason(error)}). Open are:"
            f" {'; '.join(row[0] for row in found)}. Close what the test opens as another role."
        ) from error
