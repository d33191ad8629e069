"""Isolation by real commits: after a test, its database is reset.

The work is done by the SQL functions that :mod:`.install` installs into the template, on a
connection of the testbed's own, in one round trip.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from typing import LiteralString, TypeVar

import psycopg
from psycopg import errors, sql

from ...errors import IsolationError, ServerError
from ...postgres.connecting import Connection, reason

logger = logging.getLogger(__name__)

#: Milliseconds between two attempts, while another session has a transaction open.
PAUSE = 2

#: Attempts during which a transaction that is still open after its test may end by itself: 0.2 s.
GRACE = 100

#: Attempts after which a reset fails if other sessions begin transactions again and again: 10 s.
PATIENCE = 5000

#: Milliseconds that a reset waits for a lock.
LOCK_TIMEOUT = 2000

# A reset depends on no setting of the server, the role, the database or the URL.
_SETTINGS = f"""
SET statement_timeout = 0;
SET lock_timeout = {LOCK_TIMEOUT};
SET idle_in_transaction_session_timeout = 0;
SET idle_session_timeout = 0;
SET default_transaction_read_only = off;
SET default_transaction_isolation = 'read committed';
SET default_transaction_deferrable = off;
-- No function of the application takes the place of one of PostgreSQL's.
SET search_path = pg_catalog, pg_temp;
-- Fail rather than read some of the rows.
SET row_security = off;
-- A reset need not survive a crash of the machine.
SET synchronous_commit = off;
-- Rows are read and written in their order.
SET synchronize_seqscans = off;
SET max_parallel_workers_per_gather = 0;
-- Values of the application's types are copied as text.
SET datestyle = 'ISO, YMD';
SET intervalstyle = postgres;
SET timezone = 'UTC';
SET extra_float_digits = 1;
SET bytea_output = hex;
SET lc_monetary = 'C';
SET xmloption = content;
SET standard_conforming_strings = on;
SET transform_null_equals = off;
SET quote_all_identifiers = off;
SET plan_cache_mode = auto;
SET jit = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
SET client_min_messages = warning;
SET flask_testbed.is_resetter = on;
"""

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

_DESCRIBE: LiteralString = (
    "SELECT format('process %%s of the user %%s (%%s), whose last statement was: %%s',"
    " pid, usename, state, left(regexp_replace(query, '\\s+', ' ', 'g'), 200))"
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
    """Prepare a connection for resets, with one statement, and return it.

    Its waits are bounded, foreign keys are skipped, and it depends on no other setting.
    """
    settings = _SETTINGS
    if connection.info.server_version >= 170000:
        settings += "SET transaction_timeout = 0;"
    # Only a superuser may skip foreign keys; the functions for other roles check them.
    if connection.info.parameter_status("is_superuser") == "on":
        settings += "SET session_replication_role = replica;"
    connection.execute(settings)
    return connection


def reset(connection: Connection, ended: list[str]) -> list[int]:
    """Reset a database.

    :param connection: to the database, as :func:`prepare` has returned it.
    :param ended: gets a description of each transaction that was open and has been ended.
    :returns: the process identifiers of the other sessions.
    :raises NeedsClone: the schema was changed.
    :raises psycopg.Error: the connection was terminated. Another one can be used.
    :raises IsolationError: a session holds a lock and cannot be terminated.
    """
    waited = 0
    for _ in range(PATIENCE):
        kind, _, detail = _call(connection).partition(":")
        if kind == "done":
            return _numbers(detail)
        if kind == "clone":
            raise NeedsClone(detail)
        if waited >= GRACE:
            waited = 0
            if kind == "prepared":
                _roll_back_prepared(connection, detail, ended)
            else:
                _terminate(connection, _numbers(detail), ended)
        wait(connection, PAUSE)
        waited += 1
    raise IsolationError(
        "The test's database cannot be reset: other sessions begin transactions on it again and"
        f" again. They were: {'; '.join(ended)}. Join the test's threads."
    )


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")] if text else []


def wait(connection: Connection, milliseconds: int) -> None:
    """Let the server wait: a test may have replaced the clock and the functions of this process."""
    connection.execute("SELECT pg_sleep(%s)", [milliseconds / 1000])


def pending_changes(connection: Connection) -> str | None:
    """Return the names of the tables and sequences that the next reset has to reset, or None."""
    row = connection.execute("SELECT flask_testbed.pending_changes()").fetchone()
    return row[0] if row else None


def describe(connection: Connection, pids: Collection[int]) -> list[str]:
    """Return a description of each of some sessions, for a message."""
    query = _DESCRIBE + " FROM pg_stat_activity WHERE pid = ANY (%s)"
    return [row[0] for row in connection.execute(query, [list(pids)])]


def reset_sequences(connection: Connection) -> None:
    """Reset the sequences, which a rollback does not."""
    connection.execute("SELECT flask_testbed.reset_sequences()")


def accept_changes(connection: Connection) -> None:
    """Take a database as it is now for unchanged: its schema, settings and privileges."""
    connection.execute("SELECT flask_testbed.accept_changes()")


def bound_waits(connection: Connection, seconds: int | None) -> bool:
    """Bound how long the sessions that connect to a database from now on wait for a lock.

    :param connection: to the database.
    :param seconds: ``None`` removes the bound.
    :returns: whether that was done: a bound that the application has set stays.
    """
    bound = None if seconds is None else f"{seconds}s"
    row = connection.execute("SELECT flask_testbed.bound_waits(%s)", [bound]).fetchone()
    return row is not None and bool(row[0])


def _call(connection: Connection) -> str:
    """Call ``flask_testbed.reset()``, log it, and return its answer."""
    telling = logger.isEnabledFor(logging.DEBUG)
    started = time.perf_counter()
    try:
        answer: str
        statement = _RESET_AND_TELL if telling else _RESET
        [(changes, answer)] = connection.execute(statement, prepare=True).fetchall()
    except errors.LockNotAvailable as error:
        raise IsolationError(
            "The test's database cannot be reset: another session holds a lock on it"
            f" ({reason(error)}). Join the test's threads, and close what it has opened."
        ) from error
    except psycopg.Error as error:
        if connection.broken:
            raise
        raise NeedsClone(f"a reset fails: {reason(error)}") from error
    if telling:
        logger.debug(
            "reset %s: %s (%s, %.1f ms)",
            connection.info.dbname,
            changes or "no rows",
            "done" if answer.startswith("done:") else answer,
            (time.perf_counter() - started) * 1000,
        )
    return answer


def _terminate(connection: Connection, pids: list[int], ended: list[str]) -> None:
    """Terminate sessions that are in a transaction on this database, and describe them.

    :param ended: gets the description of each.
    :raises IsolationError: the role may not terminate one of them.
    """
    found = connection.execute(f"{_OPEN} {_DESCRIBE} FROM open", [pids]).fetchall()
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


def _roll_back_prepared(connection: Connection, name: str, ended: list[str]) -> None:
    """Roll back a prepared transaction, and describe it.

    :param name: its identifier.
    :param ended: gets the description.
    :raises IsolationError: the role may not roll it back.
    """
    description = f"the prepared transaction {name!r}"
    try:
        connection.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(name)))
    except errors.UndefinedObject:
        return  # it has ended by itself
    except errors.InsufficientPrivilege as error:
        raise IsolationError(
            f"The test's database cannot be reset: {description} is open, which the role"
            f" {connection.info.user!r} may not roll back ({reason(error)}). Commit or roll back"
            " what the test prepares as another role."
        ) from error
    ended.append(description)
