"""The hooks of pytest. Each of them calls the objects that do the work.

:class:`EarlyHooks` is there before a conftest is imported, which may create an application;
:class:`Hooks` is registered when pytest has read all options.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

import pytest
from flask import Flask

from ..pytest_plugin import fixtures
from . import forbidden, modes
from .applications import Applications
from .report import Failures, Summary
from .seeding import Seed
from .shared_fixtures import SharedFixtures

PLUGIN = "flask-testbed-session"


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Adopt every application from now on, also one that a conftest creates."""
    hooks = EarlyHooks(early_config)
    early_config.pluginmanager.register(hooks, PLUGIN)
    hooks.applications.watch()
    # pytest also calls this if it ends before a session begins.
    early_config.add_cleanup(hooks.close)


class EarlyHooks:
    """The hooks that work without options."""

    def __init__(self, config: pytest.Config) -> None:
        self.applications = Applications(config)
        self._summary = Summary()

    def close(self) -> None:
        """Drop the test databases. Calling it again has no effect."""
        self.applications.close(self._summary.close)

    def pytest_configure(self, config: pytest.Config) -> None:
        """Register everything else; adopt the application in whose context pytest runs."""
        config.addinivalue_line("markers", forbidden.MARKER)
        config.addinivalue_line("markers", modes.MARKER)
        config.pluginmanager.register(Hooks(config, self.applications, self._summary))
        # After pytest-flask, whose live_server is replaced.
        config.pluginmanager.register(fixtures, f"{PLUGIN}-fixtures")
        self.applications.adopt_current()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Drop the test databases, and report what remains of them."""
        try:
            # The fixtures of an interrupted run end only here, and need their database.
            yield
        finally:
            self.close()
        self._summary.finish(session)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add what remains of a worker's databases."""
        self._summary.receive(node)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write what remains of the test databases."""
        self._summary.write(terminalreporter)


class Hooks:
    """The hooks of tests and fixtures."""

    def __init__(self, config: pytest.Config, applications: Applications, summary: Summary) -> None:
        self._applications = applications
        self._sandboxes = applications.sandboxes
        self._modes = modes.Modes(config)
        self._forbidden = forbidden.ForbiddenDatabase(config)
        self._seed = Seed(config)
        self._shared = SharedFixtures(applications, self._seed, self._forbidden)
        self._failures = Failures(config, applications.sandboxes, self._seed, summary)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give the seed to a worker of pytest-xdist."""
        self._seed.send(node)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Begin a test."""
        self._forbidden.begin(item)
        self._sandboxes.begin(self._modes.of(item))
        self._seed.begin(item)
        self._shared.begin(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, Any, Any]:
        """Keep what a shared fixture writes; adopt an application that was created before pytest.

        Such an application is what the ``app`` fixture returns.
        """
        with self._shared.setting_up(fixturedef, request):
            value = yield
            if fixturedef.argname == "app" and isinstance(value, Flask):
                self._applications.adopt(value)
        return value

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        """Reset the databases after all fixtures of the test have been torn down."""
        self._shared.note_end()
        try:
            yield
        finally:
            # Last in, first out; an error of one must not spare the others.
            with ExitStack() as stack:
                stack.callback(self._shared.end, item)
                stack.callback(self._sandboxes.reset)
                stack.callback(self._applications.release)
                stack.callback(self._applications.close_session)
                stack.callback(self._forbidden.end)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Take note of the end of a test that was interrupted."""
        self._shared.note_end()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add to the report of a failed test how to run it again."""
        report = yield
        self._failures.explain(item, report)
        return report
