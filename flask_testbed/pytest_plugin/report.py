"""What the user reads at the end of a run: kept databases, leaks, and the data of failed tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest

from ..errors import TestbedError
from ..postgres.connecting import shown
from ..sandbox.sandbox import Sandbox
from .sandboxes import Sandboxes
from .seeding import Seed

#: Key of a summary in what a worker of pytest-xdist sends to its controller.
KEY = "testbed_summary"


@dataclass
class Summary:
    """What remains of the test databases of a run, with those of its workers."""

    kept: list[str] = field(default_factory=list)
    """URLs of databases that are kept, with the test that each is a copy of."""

    undropped: list[str] = field(default_factory=list)
    """Messages about databases that could not be dropped."""

    leaks: list[str] = field(default_factory=list)
    """What was not as at the start when a sandbox was closed."""

    shared: list[str] = field(default_factory=list)
    """What servers have since the run began, and no reset undoes."""

    def close(self, sandbox: Sandbox) -> None:
        """Close a sandbox, and note what remains."""
        try:
            kept = sandbox.close()
        except TestbedError as error:
            # The tests are over, and the next run drops what this one could not.
            self.undropped.append(str(error))
            return
        if kept is not None:
            self.kept.append(shown(kept))
        self.leaks += map(str, sandbox.leaks)
        self.shared += sandbox.shared

    def copy(self, sandbox: Sandbox) -> str | None:
        """Keep a copy of a database as the current test has left it.

        :returns: a line that says where; None if the test has not used the database.
        """
        try:
            url = sandbox.copy()
        except TestbedError as error:
            return f"The test's database is not kept: {error}"
        if url is None:
            return None
        self.kept.append(f"{shown(url)} ({sandbox.isolation.test})")
        return f"The test's database as it was: {shown(url)}"

    def finish(self, session: pytest.Session) -> None:
        """Send the summary to the controller of pytest-xdist, or fail the run if there are leaks.

        ``workeroutput`` is how pytest-xdist collects data of its workers.
        """
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[KEY] = asdict(self)
        elif self.leaks and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def receive(self, node: Any) -> None:
        """Add the summary of a worker of pytest-xdist, which may have crashed without one."""
        sent = getattr(node, "workeroutput", {}).get(KEY)
        if sent is not None:
            self.kept += sent["kept"]
            self.undropped += sent["undropped"]
            self.leaks += sent["leaks"]
            self.shared += sent["shared"]

    def write(self, terminal: pytest.TerminalReporter) -> None:
        """Write the summary."""
        for url in self.kept:
            terminal.write_line(f"Test database kept: {url}")
        for error in self.undropped:
            terminal.write_line(f"Left for the next run, or test-db prune: {error}")
        for leak in self.leaks:
            terminal.write_line(f"Leaked: {leak}", red=True)
        for what in dict.fromkeys(self.shared):
            terminal.write_line(f"Not undone, since all databases share it: {what} is new.")


class Failures:
    """Adds to the report of a failed test how to run it again, and where its data is.

    :param config: its ``--keep-failed-db`` asks for copies of the databases.
    """

    def __init__(
        self, config: pytest.Config, sandboxes: Sandboxes, seed: Seed, summary: Summary
    ) -> None:
        self._keeps_copies = bool(config.getoption("keep_failed_db"))
        self._sandboxes = sandboxes
        self._seed = seed
        self._summary = summary

    def explain(self, test: pytest.Item, report: pytest.TestReport) -> None:
        """Add sections to a report, if it is the one of a failure."""
        if report.failed:
            lines = self._lines(test, report)
            report.sections += [("flask-testbed", line) for line in lines]

    def _lines(self, test: pytest.Item, report: pytest.TestReport) -> Iterator[str]:
        if self._seed.is_used:
            number = self._seed.number
            yield f"The same data again: pytest --testbed-seed={number} '{test.nodeid}'"
        if self._sandboxes.isolation.mode == "rollback":
            yield (
                "The test was isolated by rollback, so another process does not see what it"
                f" writes. With real commits: pytest --testbed-isolation=commit '{test.nodeid}'"
            )
        if self._keeps_copies and report.when != "teardown":
            yield from filter(None, map(self._summary.copy, self._sandboxes))
