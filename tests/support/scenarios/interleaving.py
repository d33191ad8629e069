"""Steps of several sessions, in any order, and what each of them sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from .environment import Environment, attempt

#: Sessions of an interleaving: the last is in autocommit mode, the one before it the driver's own.
SESSIONS = 4
AUTOCOMMIT = SESSIONS - 1
DRIVER = SESSIONS - 2

#: What takes a parameter finds it in ``{}``.
WRITES = {
    "insert": "INSERT INTO team (name) VALUES ('{}')",
    "update": "UPDATE team SET name = name || '{}'",
    "delete": "DELETE FROM team WHERE name = '{}'",
    "insert orphan": "INSERT INTO member (team_id) VALUES (99)",
    "insert seat": "INSERT INTO seat (number) VALUES (length('{}'))",
    "change country": "UPDATE country SET code = code || '{}' WHERE code < 'f'",
    "truncate": "TRUNCATE team, member, seat RESTART IDENTITY",
    "copy rows": "INSERT INTO seat (number) SELECT 10 + n FROM generate_series(1, 50) n",
    "large object": "SELECT count(lo_from_bytea(0, 'x'))",
    "call": "CALL add_team('{}')",
    "try": "SELECT add_if_new('{}')",
    "make table": "CREATE TABLE extra AS SELECT * FROM team",
    "drop table": "DROP TABLE IF EXISTS extra",
}
READS = {
    "read": "SELECT name FROM team ORDER BY name",
    "read seats": "SELECT count(*), sum(number) FROM seat",
    "read countries": "SELECT code FROM country ORDER BY code",
    "fail": "SELECT * FROM nowhere",
    "draw": "SELECT nextval('plain_ticket') > 0",
}
ENDS = ("commit", "rollback")
SAVEPOINTS = {
    "savepoint": "SAVEPOINT of_{}",
    "roll back to savepoint": "ROLLBACK TO of_{}",
    "release savepoint": "RELEASE of_{}",
}


@dataclass(frozen=True)
class Step:
    """What one session does."""

    session: int
    action: str
    name: str = ""

    @property
    def statement(self) -> str:
        """In SQL, unless it ends something."""
        if self.action in SAVEPOINTS:
            return SAVEPOINTS[self.action].format(self.session)
        return (WRITES | READS)[self.action].format(self.name)


class Players:
    """The sessions of an interleaving.

    :param env: where they play. A wait for another session would never end, since there is one
        thread, so each is bounded.
    """

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._connections = [self._connect(number) for number in range(SESSIONS)]

    def _connect(self, number: int) -> Any:
        if number == DRIVER:
            connection: Any = self._env.raw()
            connection.dbapi_connection.execute("SET lock_timeout = '20ms'")
        else:
            connection = self._env.connect()
            connection.execute(sa.text("SET lock_timeout = '20ms'"))
        connection.commit()
        if number == AUTOCOMMIT:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        return connection

    def take(self, step: Step) -> Any:
        """What the session sees of its step: rows, or the name of an error."""
        connection = self._connections[step.session]
        if step.action == "kill":
            return self._kill(step.session)
        if step.action in ENDS:
            return attempt(getattr(connection, step.action))
        run: Callable[..., Any] = self._driver if step.session == DRIVER else self._core
        seen = attempt(run, connection, step.statement)
        # An application rolls back what has failed, where it has no savepoint to go back to.
        if isinstance(seen, str) and step.session == AUTOCOMMIT:
            attempt(connection.rollback)
        return seen

    def _core(self, connection: Any, statement: str) -> Any:
        result = connection.exec_driver_sql(statement)
        return [tuple(row) for row in result] if result.returns_rows else result.rowcount

    def _driver(self, connection: Any, statement: str) -> Any:
        cursor = connection.dbapi_connection.execute(statement)
        return cursor.fetchall() if cursor.description else cursor.rowcount

    def _kill(self, number: int) -> str:
        connection = self._connections[number]
        pid = attempt(lambda: connection.connection.dbapi_connection.info.backend_pid)
        if number == DRIVER:
            pid = attempt(lambda: connection.dbapi_connection.info.backend_pid)
        self._env.outside().execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        connection.invalidate()
        if number != DRIVER:
            attempt(connection.rollback)
        self._connections[number] = self._connect(number)
        return "killed"


def play(env: Environment, steps: Sequence[Step], seen: list[Any]) -> None:
    """Take the steps, and note what each sees, then what is left at the end."""
    players = Players(env)
    for step in steps:
        seen.append((step, players.take(step)))
    for session in range(SESSIONS):
        end = Step(session, "rollback")
        seen.append((end, players.take(end)))
    for action in ("read", "read seats", "read countries"):
        step = Step(0, action)
        seen.append((step, players.take(step)))


def one_writer_at_a_time(steps: Sequence[Step]) -> Iterator[Step]:
    """Leave out what differs in rollback mode by design: what is seen of an open transaction."""
    writer: int | None = None
    for step in steps:
        if step.action in ENDS:
            writer = None if writer == step.session else writer
        elif writer not in (None, step.session):
            continue
        elif step.session != AUTOCOMMIT:
            writer = step.session
        yield step
