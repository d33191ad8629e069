"""Tests that must not connect to a database: those with a marker, and those in some folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..application.gate import gate

MARKER = "no_database: a connection to a database is an error in this test"


class ForbiddenDatabase:
    """The settings that forbid tests to connect.

    :param config: its ``testbed_no_database`` are the folders and files of such tests.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._places = [Path(path) for path in config.getini("testbed_no_database")]

    def begin(self, test: pytest.Item) -> None:
        """Refuse every connection during a test, if it must not connect."""
        reason = self._reason(test)
        if reason is not None:
            gate.forbid(
                f"This test connects to the database and must not, because {reason}. Remove the"
                " marker, move the test to where a database is allowed, or give it objects that"
                " are only built: factory.build()."
            )

    def end(self) -> None:
        """Allow connections again."""
        gate.allow()

    def _reason(self, test: pytest.Item) -> str | None:
        if test.get_closest_marker("no_database") is not None:
            return "it is marked no_database"
        place = next((at for at in self._places if test.path.is_relative_to(at)), None)
        return f"it is in {place} (testbed_no_database)" if place is not None else None
