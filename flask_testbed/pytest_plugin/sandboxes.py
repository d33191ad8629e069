"""The test databases of one process: a sandbox for each database of an application."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import NoReturn

from ..application.databases import AppDatabase
from ..application.target import target_of
from ..errors import TestbedError
from ..isolation.mode import Isolation
from ..sandbox.names import Keeping
from ..sandbox.sandbox import Sandbox
from ..sandbox.shelf import Shelf


class Sandboxes:
    """The sandboxes of a process, which are all isolated alike.

    :param failed: called with the error if a database cannot be created for a connection.
    """

    def __init__(self, failed: Callable[[TestbedError], NoReturn]) -> None:
        self.isolation = Isolation()
        """How the current test is isolated."""
        self._failed = failed
        self._shelf = Shelf()
        self._sandboxes: dict[tuple[str, int, str | None], Sandbox] = {}

    def __repr__(self) -> str:
        return f"<Sandboxes {list(self._sandboxes.values())}>"

    def __iter__(self) -> Iterator[Sandbox]:
        return iter(self._sandboxes.values())

    def of(self, database: AppDatabase, worker: str, keeping: Keeping) -> Sandbox:
        """Return the sandbox of an application's database, which others with its models share.

        :param worker: name of the worker of pytest-xdist (``gw0``), empty without.
        :raises SettingsError: a setting that decides where the test database is cannot be used.
        """
        target = target_of(database)
        key = (target.url.render_as_string(hide_password=False), id(database.db), database.bind)
        if key not in self._sandboxes:
            self._sandboxes[key] = Sandbox(
                database, target, worker, keeping, shelf=self._shelf, failed=self._failed
            )
            self._sandboxes[key].begin(self.isolation)
        return self._sandboxes[key]

    def begin(self, isolation: Isolation) -> None:
        """Isolate what is done from now on in another way."""
        self.isolation = isolation
        for sandbox in self:
            sandbox.begin(isolation)

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Commit what is done inside, whatever the mode of the test."""
        before = self.isolation
        self.begin(replace(before, mode="commit"))
        try:
            yield
        finally:
            self.begin(before)

    def reset(self) -> None:
        """Undo what has been done since the last reset."""
        self._each(Sandbox.reset)

    def keep_layer(self, owner: object, name: str) -> None:
        """Keep what was written since the last reset, until :meth:`drop_layers`.

        :param name: name of the owner, as a sentence begins with it.
        """
        for sandbox in self:
            sandbox.keep_layer(owner, name)

    def drop_layers(self, owner: object) -> None:
        """Undo what an owner has written."""
        self._each(lambda sandbox: sandbox.drop_layers(owner))

    def has_layer(self, owner: object) -> bool:
        """Whether an owner has written what later tests see."""
        return any(sandbox.has_layer(owner) for sandbox in self)

    def close(self, close: Callable[[Sandbox], None]) -> None:
        """Close each sandbox by a function."""
        sandboxes, self._sandboxes = self._sandboxes, {}
        with ExitStack() as stack:
            for sandbox in sandboxes.values():
                stack.callback(close, sandbox)

    def _each(self, act: Callable[[Sandbox], None]) -> None:
        # A warning or an error of one database must not spare the others.
        with ExitStack() as stack:
            for sandbox in self:
                stack.callback(act, sandbox)
