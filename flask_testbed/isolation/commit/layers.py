"""Layers: rows that outlive a test, above those of the template.

The work is done by the functions of ``sql/layers.sql``. A layer that has changed the schema is also
stored as a template, which is cloned after a test that changes the schema again.
"""

from __future__ import annotations

import itertools
import logging
from contextlib import ExitStack
from dataclasses import dataclass
from typing import LiteralString, Protocol

import psycopg

from ...errors import DatabaseError, IsolationError
from ...postgres.connecting import Connection, reason
from .install import install_anew
from .layer_copy import SavedLayers
from .reset import NeedsClone, persist

logger = logging.getLogger(__name__)


class Place(Protocol):
    """The database that has the layers."""

    def connection(self) -> Connection:
        """Return a connection for resets, in autocommit mode."""

    def copy(self) -> str:
        """Create a template that is a copy of the database, and return its name.

        :raises DatabaseError: the database has other connections.
        """

    def drop_copy(self, name: str) -> None:
        """Drop a template that :meth:`copy` has created."""

    def replace(self, template: str | None) -> None:
        """Replace the database with a clone; ``None``: of the template it was first cloned from."""

    def reset(self) -> object:
        """Reset the database to its layers.

        :raises NeedsClone: only a clone is as it was.
        """

    def restore(self) -> object:
        """Reset the database to its layers, or call :meth:`Layers.replace`."""


@dataclass(frozen=True, eq=False)
class Layer:
    """What an owner has written between two resets."""

    number: int
    owner: object
    name: str
    """Name of the owner, as a sentence begins with it."""

    template: str | None = None
    """Name of a template with the schema of this layer, or None if it has not changed it."""


class Layers:
    """The layers of one database, the lowest first.

    :param place: the database.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._layers: list[Layer] = []
        self._numbers = itertools.count(1)

    def __repr__(self) -> str:
        return f"<Layers {[(layer.number, layer.name) for layer in self._layers]}>"

    def __bool__(self) -> bool:
        """Whether there are any layers."""
        return bool(self._layers)

    def owns(self, owner: object) -> bool:
        """Return whether an owner has a layer."""
        return any(layer.owner is owner for layer in self._layers)

    def push(self, owner: object, name: str) -> None:
        """Make what was written since the last reset a layer, if anything was.

        :param owner: owns the layer until :meth:`pop`.
        :param name: of the owner, as a sentence begins with it.
        :raises IsolationError: it cannot be made a layer, and was undone.
        """
        number = next(self._numbers)
        try:
            answer = self._call("SELECT flask_testbed.push_layer(%s, false)", number)
        except psycopg.Error as error:
            if self._layers:
                raise _cannot_keep(error) from error
            # The fixture has dropped or damaged the functions, as one that drops every schema.
            logger.debug("install the functions anew after %s: %s", name, reason(error))
            persist(self._place.connection, install_anew)
            answer = "anew"
        if answer == "nothing":
            return
        template = None
        if answer != "rows":
            template = self._push_schema(number, name, is_known=answer == "anew")
        self._layers.append(Layer(number, owner, name, template))
        logger.debug("pushed layer %d of %s (%s)", number, name, answer)

    def _push_schema(self, number: int, name: str, *, is_known: bool) -> str:
        """Make a copy of the database the template of a layer, and return its name.

        :param is_known: whether the functions know of the schema that it has now.
        """
        try:
            if not is_known:
                self._ask("SELECT flask_testbed.push_layer(%s, true)", number)
            return self._place.copy()
        except DatabaseError as error:
            self.replace()
            raise IsolationError(
                f"{name} changes the schema, so a copy of the database must be made, and cannot:"
                f" {error.message} Close every connection before the fixture returns or yields."
            ) from error

    def pop(self, owner: object) -> None:
        """Remove the layers of an owner, wherever they are, and reset the database.

        The database must be as its layers say.

        :raises IsolationError: another layer needs one of them.
        """
        for layer in [one for one in reversed(self._layers) if one.owner is owner]:
            above = self._layers[self._layers.index(layer) + 1 :]
            self._layers.remove(layer)
            logger.debug("pop layer %d of %s", layer.number, layer.name)
            if layer.template is not None or not self._pop_rows(layer, above):
                self._pop_by_clone(layer, above)
        self._place.restore()

    def _pop_rows(self, layer: Layer, above: list[Layer]) -> bool:
        """Remove a layer of rows, and return whether that was possible."""
        try:
            self._call("SELECT flask_testbed.pop_layer(%s)", layer.number)
        except psycopg.Error as error:
            logger.debug("cannot pop layer %d: %s", layer.number, reason(error))
            return False
        key = self._ask("SELECT flask_testbed.broken_foreign_key()") if above else None
        if key is not None:
            for one in reversed(above):
                self.pop(one.owner)
            raise _out_of_order(layer, above[-1], f"has rows that others refer to ({key})")
        return True

    def _pop_by_clone(self, layer: Layer, above: list[Layer]) -> None:
        self._layers = [one for one in self._layers if one not in above]
        self.replace()
        for one in [layer, *above]:
            if one.template is not None:
                self._place.drop_copy(one.template)
        if above:
            raise _out_of_order(layer, above[-1], "has changed the schema")

    def replace(self) -> None:
        """Replace the database with a clone that has the same layers.

        :raises IsolationError: the rows of the layers cannot be copied into it.
        """
        templates = [layer.template for layer in self._layers if layer.template is not None]
        with ExitStack() as files:
            saved = self._save(files) if self._layers else None
            self._place.replace(templates[-1] if templates else None)
            if saved is None:
                return
            try:
                persist(self._place.connection, saved.restore)
                self._place.reset()
            except (NeedsClone, psycopg.Error) as error:
                raise self._lost(error) from error

    def _save(self, files: ExitStack) -> SavedLayers | None:
        numbers = [layer.number for layer in self._layers]
        try:
            return persist(
                self._place.connection, lambda connection: SavedLayers(connection, numbers, files)
            )
        except psycopg.Error as error:
            if self._layers[-1].template is not None:
                return None  # it has the rows of all layers
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> IsolationError:
        owners = ", ".join(dict.fromkeys(layer.name for layer in self._layers))
        return IsolationError(
            "The test's database must be replaced by a new clone, and the rows that these keep for"
            f" later tests cannot be copied into it: {owners}. The reason is: {reason(error)}. Let"
            " no test drop or change the schema flask_testbed."
        )

    def forget(self) -> None:
        """Remove the layers that are in the database since an earlier run was killed.

        :raises NeedsClone: they cannot be removed.
        """
        try:
            self._call("SELECT flask_testbed.forget_layers(false)")
        except psycopg.Error as error:
            raise NeedsClone(reason(error)) from error

    def close(self) -> None:
        """Drop the templates of the layers."""
        for layer in self._layers:
            if layer.template is not None:
                self._place.drop_copy(layer.template)
        self._layers.clear()

    def _call(self, statement: LiteralString, *values: int) -> str | None:
        """Return what a function answers. It is called again if the connection is terminated."""

        def call(connection: Connection) -> str | None:
            row = connection.execute(statement, values).fetchone()
            return row[0] if row else None

        return persist(self._place.connection, call)

    def _ask(self, statement: LiteralString, *values: int) -> str | None:
        """Return what a function answers.

        :raises IsolationError: it fails.
        """
        try:
            return self._call(statement, *values)
        except psycopg.Error as error:
            raise _cannot_keep(error) from error


def _cannot_keep(error: psycopg.Error) -> IsolationError:
    return IsolationError(f"Rows cannot be kept for later tests: {reason(error)}.")


def _out_of_order(layer: Layer, last: Layer, what: str) -> IsolationError:
    return IsolationError(
        f"{layer.name} {what}, and ends before {last.name}, which began later and whose rows have"
        " been removed as well. Let the latter request the former as an argument: then they end in"
        " the right order."
    )
