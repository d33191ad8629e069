"""The errors of the testbed. Each message says what is wrong and what to do next."""

from __future__ import annotations

import click


class TestbedError(click.ClickException):
    """The testbed refuses or fails to do something. All its errors inherit from this class.

    Flask's commands print the message and exit with status 1.
    """

    # pytest would otherwise collect a class whose name begins with "Test".
    __test__ = False


class SettingsError(TestbedError):
    """A setting, such as ``TEST_DATABASE_URL``, cannot be used."""


class ServerError(TestbedError):
    """A PostgreSQL server cannot be reached, started or used."""


class DatabaseError(TestbedError):
    """A database cannot be created, read or dropped."""


class RefusedError(TestbedError):
    """A rule protects the database. Nothing was changed."""


class IsolationError(TestbedError):
    """A test did something that cannot be undone, or that its isolation mode does not support."""


class FactoryError(TestbedError):
    """A factory is used in a way or in a place in which it cannot work."""


class BulkError(FactoryError):
    """Rows cannot be created in bulk, or the database has refused one of them. None was kept.

    :ivar row: the index of the refused row in the call, from 0.
    :ivar table: the name of its table.
    :ivar column: the name of the column that the database refused.
    :ivar constraint: the name of the violated constraint.

    Each attribute is None if the database did not report it.
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
    """A scenario cannot be played. Nothing was written."""


class NotEmptyError(SeedError):
    """A scenario cannot be played, because a table that it fills already holds rows."""


class TestbedWarning(UserWarning):
    """A test left a transaction open, and the testbed has ended it."""

    __test__ = False
