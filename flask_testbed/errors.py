"""What can go wrong, by kind. Every message says what is wrong and what to do next."""

from __future__ import annotations

import click


class TestbedError(click.ClickException):
    """Anything that the testbed refuses or fails to do.

    A command, or whatever loads the application for one, prints the message and exits with
    status 1.
    """

    # pytest would otherwise take a name that begins with "Test" for a test class.
    __test__ = False


class SettingsError(TestbedError):
    """A setting, such as ``TEST_DATABASE_URL``, cannot be used."""


class ServerError(TestbedError):
    """A PostgreSQL server cannot be reached, started or used."""


class DatabaseError(TestbedError):
    """A database cannot be created, read or dropped."""


class RefusedError(TestbedError):
    """A rule protects the database: nothing was touched."""


class IsolationError(TestbedError):
    """A test did something after which its database cannot be put back."""


class FactoryError(TestbedError):
    """A factory is used where it cannot work."""


class BulkError(FactoryError):
    """Rows cannot be made in bulk, or the database has refused one of them: none was kept.

    Where the database has said so, ``row`` is the number of the row, from 0, in the call, and
    ``table``, ``column`` and ``constraint`` are names; else they are None.
    """

    def __init__(
        self,
        message: str,
        *,
        row: int | None = None,
        table: str | None = None,
        column: str | None = None,
        constraint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.row = row
        self.table = table
        self.column = column
        self.constraint = constraint


class SeedError(TestbedError):
    """A scenario cannot be played: nothing was written."""


class NotEmptyError(SeedError):
    """A scenario cannot be played, because there are rows already where it would write."""


class TestbedWarning(UserWarning):
    """A test left something behind that had to be cleared away for the next one."""

    __test__ = False
