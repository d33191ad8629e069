"""PostgreSQL's savepoints in pure Python: what the commands of rollback mode would do."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from flask_testbed.isolation.rollback.catalog import Catalog
from flask_testbed.isolation.rollback.savepoints import RoundTrips
from flask_testbed.isolation.statements import effects_of

_SETTINGS = {"statement_timeout": "0", "role": "none"}


class ServerError(Exception):
    """An error of the server."""


@dataclass
class Contents:
    """What a savepoint brings back."""

    rows: frozenset[int] = frozenset()
    settings: dict[str, str] = field(default_factory=lambda: dict(_SETTINGS))
    read_only: bool = False
    cursors: frozenset[int] = frozenset()
    deferred: frozenset[int] = frozenset()
    """Rows that violate a deferred constraint."""

    immediate: bool = False
    """Whether that constraint is checked by each statement."""


@dataclass
class Server:
    """What PostgreSQL does with savepoints: a stack of copies of all it holds."""

    now: Contents = field(default_factory=Contents)
    in_error: bool = False
    round_trips: int = 0
    _stack: list[tuple[str, Contents]] = field(default_factory=list)

    def send(self, commands: list[str]) -> str | None:
        """Execute commands in one round trip, and return the first value of the last result."""
        self.round_trips += 1
        answer = None
        for command in commands:
            answer = self._execute(command)
        return answer

    def _execute(self, command: str) -> str | None:
        verb, _, rest = command.partition(" ")
        if self.in_error and not command.startswith("ROLLBACK TO "):
            raise ServerError(f"in failed transaction: {command}")
        match verb:
            case "BEGIN":
                assert not self._stack, "a transaction has begun"
                self._stack.append(("", self._copy()))
            case "SAVEPOINT":
                assert self._stack, "no transaction has begun"
                self._stack.append((rest, self._copy()))
            case "RELEASE":
                index = self._find(rest)
                _, before = self._stack[index]
                self.now = Contents(**{**vars(self.now), "read_only": before.read_only})
                del self._stack[index:]
            case "ROLLBACK":
                self._roll_back_to(rest.removeprefix("TO "))
            case "SET":
                self._set(rest)
            case "SELECT" if "json_object_agg" in command:
                names = re.findall(r"E'([^']*)'", command)
                return json.dumps({name: self.now.settings.get(name) for name in names})
            case "SELECT":
                (literal,) = re.findall(r"E'([^']*)'", command.partition(" WHERE ")[0])
                self._write(**json.loads(literal))
            case _:
                raise AssertionError(f"not a command that is known: {command}")
        return None

    def _roll_back_to(self, name: str) -> None:
        index = self._find(name)
        _, before = self._stack[index]
        self.now = Contents(**vars(before))
        del self._stack[index + 1 :]
        self.in_error = False

    def _set(self, what: str) -> None:
        if what == "TRANSACTION READ ONLY":
            self._change(read_only=True)
        elif what == "CONSTRAINTS ALL IMMEDIATE":
            self._change(immediate=True)
            if self.now.deferred:
                self.fail()
        else:
            assert what == "CONSTRAINTS public.late DEFERRED"
            self._change(immediate=False)

    def _find(self, name: str) -> int:
        for index in range(len(self._stack) - 1, -1, -1):
            if self._stack[index][0] == name:
                return index
        raise AssertionError(f"there is no savepoint {name}")

    def _copy(self) -> Contents:
        return Contents(**vars(self.now))

    def _change(self, **changes: Any) -> None:
        self.now = Contents(**{**vars(self.now), **changes})

    # Statements of an application

    def insert(self, row: int, *, violates: bool = False) -> None:
        """Insert a row, which may violate a deferred constraint."""
        if self.in_error or self.now.read_only or (violates and self.now.immediate):
            self.fail()
        deferred = self.now.deferred | {row} if violates else self.now.deferred
        self._change(rows=self.now.rows | {row}, deferred=deferred)

    def declare(self, cursor: int) -> None:
        """Open a cursor."""
        self._change(cursors=self.now.cursors | {cursor})

    def _write(self, **settings: str) -> None:
        self._change(settings={**self.now.settings, **settings})

    def set_locally(self, name: str, value: str) -> None:
        """Set a setting until the end of the transaction."""
        self._write(**{name: value})

    def set_read_only(self) -> None:
        """Make the transaction a read-only one."""
        self._change(read_only=True)

    def fail(self) -> None:
        """Execute a statement that has an error."""
        self.in_error = True
        raise ServerError("the statement has an error")

    def savepoint(self, name: str) -> None:
        """Set a savepoint of the application's."""
        self._execute(f"SAVEPOINT {name}")

    def roll_back_to(self, name: str) -> None:
        """Roll back to a savepoint of the application's."""
        self._roll_back_to(name)


# How tests use it

CATALOG = Catalog(writers=frozenset({"add_if_new"}), deferrable=True, deferred=("public.late",))

READ = effects_of("SELECT 1")
WRITE = effects_of("INSERT INTO t VALUES (1)")
CALL = effects_of("SELECT add_if_new(1)")
DECLARE = effects_of("DECLARE c CURSOR FOR SELECT 1")
READ_ONLY = effects_of("SET TRANSACTION READ ONLY")
SAVEPOINT = effects_of("SAVEPOINT mine")
ROLL_BACK_TO = effects_of("ROLLBACK TO SAVEPOINT mine")


def perform(server: Server, round_trips: RoundTrips) -> None:
    """Send the commands of round trips to a server, and give them its answers."""
    try:
        commands = next(round_trips)
        while True:
            try:
                answer = server.send(commands)
            except ServerError as error:
                commands = round_trips.throw(error)
            else:
                commands = round_trips.send(answer)
    except StopIteration:
        pass
