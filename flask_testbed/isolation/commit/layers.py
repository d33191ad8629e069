"""Rows that live longer than a test, in layers over those of the template.

The work is done by the functions of ``layers.sql``. A layer that has changed the schema is kept as
a template of its own besides, of which a test that changes it again gets a clone.
"""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from dataclasses import dataclass
from typing import LiteralString, Protocol

import psycopg

from ...errors import DatabaseError, IsolationError
from ...postgres.connecting import Connection, reason
from .reset import persist
from .row_copy import Saved


class Place(Protocol):
    """The database in which layers lie, as whoever has it offers it."""

    def connection(self) -> Connection:
        """One that may put back, in autocommit mode."""

    def copy(self) -> str:
        """Make a template of the database as it is; returns its name.

        :raises DatabaseError: somebody is connected.
        """

    def drop_copy(self, name: str) -> None:
        """Drop what :meth:`copy` has made."""

    def replace(self, template: str | None) -> None:
        """Have a clone in the place of the database; ``None``: of the first template."""

    def reset(self) -> object:
        """Put everything back as the layers say."""


@dataclass(frozen=True, eq=False)
class Layer:
    """What one owner has written in one go."""

    number: int
    owner: object
    name: str
    """Of the owner, for messages."""

    template: str | None = None
    """A database with this layer's schema, if it has changed it."""


class Layers:
    """The layers of one database, the lowest first.

    :param place: the database.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._living: list[Layer] = []
        self._numbers = itertools.count(1)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._living)

    def owns(self, owner: object) -> bool:
        """Whether an owner has a layer."""
        return any(layer.owner is owner for layer in self._living)

    def push(self, owner: object, name: str) -> None:
        """Make what was written since the last reset a layer.

        :param name: of the owner, as a sentence begins with it.
        :raises IsolationError: it cannot be kept; it is undone.
        """
        number = next(self._numbers)
        answer = self._ask("SELECT flask_testbed.push_layer(%s, false)", number)
        if answer == "rows":
            self._living.append(Layer(number, owner, name))
        elif answer != "nothing":
            self._push_schema(number, owner, name)

    def _push_schema(self, number: int, owner: object, name: str) -> None:
        try:
            self._ask("SELECT flask_testbed.push_layer(%s, true)", number)
            template = self._place.copy()
        except DatabaseError as error:
            self.replace()
            raise IsolationError(
                f"{name} changes the schema, so a copy of the database must be made, and cannot:"
                f" {error.message} Close every connection before the fixture returns or yields."
            ) from error
        self._living.append(Layer(number, owner, name, template))

    def pop(self, owner: object) -> None:
        """Take away all layers of an owner, wherever they lie, and put everything back.

        The database must be as its layers say.

        :raises IsolationError: another layer cannot be without them.
        """
        for layer in [one for one in reversed(self._living) if one.owner is owner]:
            above = self._living[self._living.index(layer) + 1 :]
            self._living.remove(layer)
            if layer.template is not None:
                self._pop_schema(layer, above)
            else:
                self._pop_rows(layer, above)
        self._place.reset()

    def _pop_rows(self, layer: Layer, above: list[Layer]) -> None:
        self._ask("SELECT flask_testbed.pop_layer(%s)", layer.number)
        key = self._ask("SELECT flask_testbed.broken_key()") if above else None
        if key is not None:
            for one in reversed(above):
                self.pop(one.owner)
            raise _out_of_order(layer, above[-1], f"has rows that others refer to ({key})")

    def _pop_schema(self, layer: Layer, above: list[Layer]) -> None:
        self._living = [one for one in self._living if one not in above]
        self.replace()
        for one in [layer, *above]:
            if one.template is not None:
                self._place.drop_copy(one.template)
        if above:
            raise _out_of_order(layer, above[-1], "has changed the schema")

    def replace(self) -> None:
        """Have a clone in the place of the database, with the layers that live."""
        templates = [layer.template for layer in self._living if layer.template is not None]
        numbers = [layer.number for layer in self._living]
        with ExitStack() as files:
            saved = None
            if numbers:
                saved = persist(self._place.connection, lambda one: Saved(one, numbers, files))
            self._place.replace(templates[-1] if templates else None)
            if saved is not None:
                persist(self._place.connection, saved.lay)
                self._place.reset()

    def forget(self) -> None:
        """Forget the layers that a run has left which was killed."""
        self._ask("SELECT flask_testbed.forget_layers(false)")

    def close(self) -> None:
        """Drop the templates of layers that still live."""
        for layer in self._living:
            if layer.template is not None:
                self._place.drop_copy(layer.template)
        self._living.clear()

    def _ask(self, statement: LiteralString, *values: int) -> str | None:
        def ask(connection: Connection) -> str | None:
            row = connection.execute(statement, values).fetchone()
            return row[0] if row else None

        try:
            # Where somebody has ended the connection, what it has begun is undone.
            return persist(self._place.connection, ask)
        except psycopg.Error as error:
            raise IsolationError(
                f"Rows cannot be kept for later tests: {reason(error)}."
            ) from error


def _out_of_order(layer: Layer, last: Layer, what: str) -> IsolationError:
    return IsolationError(
        f"{layer.name} {what}, and ends before {last.name}, which came after it and whose rows are"
        " gone now, too. Let the latter ask for the former as an argument: then they end in order."
    )
