"""Idle databases, which one sandbox of the process takes over from another."""

from __future__ import annotations

from typing import Protocol

from ..application.databases import AppDatabase
from ..application.schema import Schema, find_schema
from ..application.target import Target
from .database import ProcessDatabase


class Lender(Protocol):
    """A sandbox that may give away its database."""

    target: Target

    @property
    def is_idle(self) -> bool:
        """Whether it has a database that is as its template, and that nothing is connected to."""

    def give_away(self, schema: Schema) -> ProcessDatabase | None:
        """Give away the database, if it has that schema."""


class Shelf:
    """The sandboxes of a process, which take idle databases from each other.

    An application that each test makes anew, with models of its own, has a sandbox of its own. It
    needs no clone as long as a sandbox before it has an idle database of the same schema.
    """

    def __init__(self) -> None:
        self._lenders: list[Lender] = []

    def add(self, lender: Lender) -> None:
        """Add a sandbox."""
        self._lenders.append(lender)

    def take(self, target: Target, app_database: AppDatabase) -> ProcessDatabase | None:
        """Take an idle database from a sandbox with the same target, or None if there is none.

        :param app_database: the database of the application whose schema it must have.
        """
        idle = [one for one in self._lenders if one.target == target and one.is_idle]
        if not idle:
            return None
        schema = find_schema(app_database)
        return next(filter(None, (one.give_away(schema) for one in idle)), None)
