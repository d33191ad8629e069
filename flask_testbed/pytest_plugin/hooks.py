"""The pytest plugin: needs an ``app`` fixture, as pytest-flask does, and nothing else.

Each application's engines are sent to a test database before anything connects. The database is
made when a test first connects, put back after each test that used it, and dropped at the end. A
test that never connects pays nothing.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakSet

import pytest
from flask import Flask, current_app, has_app_context
from flask_sqlalchemy import SQLAlchemy

from ..application.databases import AppDatabase, database_of, databases_of
from ..application.gate import gate
from ..application.target import target_of
from ..errors import TestbedError
from ..isolation.mode import Isolation
from ..postgres.connecting import shown
from ..pytest_plugin import fixtures
from ..sandbox.names import Keeping
from ..sandbox.sandbox import Sandbox
from ..sandbox.shelf import Shelf
from .modes import MARKER, Modes
from .requests import isolate_requests
from .shared_fixtures import Scopes

if TYPE_CHECKING:
    from _pytest.fixtures import SubRequest

_PLUGIN = "flask-testbed-session"


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Stand ready before a conftest makes an application."""
    plugin = Session(early_config)
    early_config.pluginmanager.register(plugin, _PLUGIN)
    plugin.watch()
    # Runs also where pytest ends before a session begins.
    early_config.add_cleanup(plugin.close)


class Session:
    """What the plugin does in one process: a session of pytest, or of an xdist worker."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._sandboxes: dict[tuple[str, int, str | None], Sandbox] = {}
        self._applications: WeakSet[Flask] = WeakSet()
        self._new: list[Flask] = []
        self._session: pytest.Session | None = None
        self._init_app: Callable[..., None] | None = None
        self._seed = 0
        self._kept: list[str] = []
        self._leaks: list[str] = []
        self._left: list[str] = []
        self._zones: list[Path] = []
        self._modes: Modes | None = None
        self._choice = Isolation()
        self._shelf = Shelf()
        self._scopes = Scopes(
            self._sandboxes.values, self._committing, end_session=self._end_outer_session
        )

    # Applications

    def watch(self) -> None:
        """Adopt each application as soon as it gets its engines, before it can connect."""
        init_app = self._init_app = SQLAlchemy.init_app

        def init_and_adopt(db: SQLAlchemy, app: Flask) -> None:
            init_app(db, app)
            if _uses_postgresql(app):
                self.adopt(app)

        SQLAlchemy.init_app = init_and_adopt  # type: ignore[method-assign, assignment]

    def close(self) -> None:
        """Drop the databases, note where those are that are kept, and stop watching."""
        with ExitStack() as last:
            # Whatever fails, everything else is given back.
            last.callback(self._unwatch)
            for sandbox in self._sandboxes.values():
                last.callback(self._close, sandbox)
            self._sandboxes.clear()

    def _close(self, sandbox: Sandbox) -> None:
        try:
            kept = sandbox.close()
        except TestbedError as error:
            # The tests are over, and the next run drops what this one could not.
            self._left.append(str(error))
            return
        if kept is not None:
            self._kept.append(shown(kept))
        self._leaks += map(str, sandbox.leaks)

    def _unwatch(self) -> None:
        if self._init_app is not None:
            SQLAlchemy.init_app = self._init_app  # type: ignore[method-assign]
            self._init_app = None

    def adopt(self, app: Flask) -> None:
        """Send an application's engines to a test database, and give its requests a context.

        :raises SettingsError: the application's engine cannot be sent anywhere.
        """
        if app in self._applications:
            return
        if has_app_context() and current_app == app:
            # Its session may hold a connection to the application's own database.
            app.extensions["sqlalchemy"].session.remove()
        try:
            places = [(database, self._sandbox(database)) for database in databases_of(app)]
        except TestbedError as error:
            self._stop(error)
        for database, sandbox in places:
            sandbox.redirect(database)
        isolate_requests(app)
        self._applications.add(app)
        self._new.append(app)

    def _sandbox(self, database: AppDatabase) -> Sandbox:
        """The sandbox of an application's database; those with the same models share one."""
        target = target_of(database)
        key = (target.url.render_as_string(hide_password=False), id(database.db), database.bind)
        if key not in self._sandboxes:
            keeping = Keeping(*map(self._option, ("reuse_db", "create_db", "keep_db")))
            self._sandboxes[key] = Sandbox(
                database,
                target,
                worker=_worker(self._config),
                keeping=keeping,
                shelf=self._shelf,
                failed=self._stop,
            )
            self._choose(self._sandboxes[key])
        return self._sandboxes[key]

    def _choose(self, sandbox: Sandbox) -> None:
        sandbox.begin(self._choice)

    def _option(self, name: str) -> bool:
        # A conftest may connect before the options are read for good.
        early = getattr(self._config.known_args_namespace, name, False)
        return bool(getattr(self._config.option, name, early))

    def _stop(self, error: TestbedError) -> NoReturn:
        """End the run in one sentence: without a database there is no sense in going on.

        pytest.exit() is not for this: the application may catch it, and a worker dies of it.
        """
        if self._session is None:
            pytest.exit(str(error), returncode=1)
        self._session.shouldfail = str(error)
        raise pytest.fail.Exception(str(error), pytrace=False) from None

    # Hooks

    def pytest_configure(self, config: pytest.Config) -> None:
        """Fix the seed; adopt the application in whose context pytest was started."""
        config.addinivalue_line(
            "markers", "no_database: a connection to a database is an error in this test"
        )
        config.addinivalue_line("markers", MARKER)
        self._modes = Modes(config)
        self._zones = [Path(path) for path in config.getini("testbed_no_database")]
        # Later than pytest-flask, whose live_server is replaced.
        config.pluginmanager.register(fixtures, f"{_PLUGIN}-fixtures")
        given = config.getoption("testbed_seed")
        shared = getattr(config, "workerinput", {}).get("testbed_seed")
        self._seed = next(s for s in (given, shared, secrets.randbits(32)) if s is not None)
        self._scopes.seed = self._seed
        if has_app_context():
            self.adopt(current_app._get_current_object())  # type: ignore[attr-defined]

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Know whom to tell if there is no going on."""
        self._session = session

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give a worker of xdist the session's seed."""
        node.workerinput["testbed_seed"] = self._seed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Give each test random values of its own, and the same ones in each run of the seed."""
        self._forbid_database(item)
        if self._modes is not None:
            self._choice = self._modes.of(item)
            for sandbox in self._sandboxes.values():
                self._choose(sandbox)
        randomness = sys.modules.get("flask_testbed.randomness")
        if randomness is not None:
            randomness.reseed(f"{self._seed}:{item.nodeid}")
        self._scopes.begin(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: SubRequest
    ) -> Generator[None, Any, Any]:
        """Keep what a fixture writes for as long as it lives.

        Adopt what the ``app`` fixture returns, if it was made before pytest began.
        """
        with self._scopes.setting_up(fixturedef, request):
            value = yield
            is_app = fixturedef.argname == "app" and isinstance(value, Flask)
            if is_app and _uses_postgresql(value):
                self.adopt(value)
        return value

    @contextmanager
    def _committing(self) -> Iterator[None]:
        """Have what is done committed, whatever the test's mode."""
        before, self._choice = self._choice, replace(self._choice, mode="commit")
        try:
            for sandbox in self._sandboxes.values():
                self._choose(sandbox)
            yield
        finally:
            self._choice = before
            for sandbox in self._sandboxes.values():
                self._choose(sandbox)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        """Put the database back after all fixtures of the test are gone."""
        try:
            yield
        finally:
            gate.allow()
            self._end_outer_session()
            self._release_new()
            with ExitStack() as last:
                # What one warns of, or cannot do, must not spare the others.
                last.callback(self._scopes.end, item)
                for sandbox in self._sandboxes.values():
                    last.callback(sandbox.reset)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Say with a failure how to get the same random values again."""
        report = yield
        if report.failed and "flask_testbed.randomness" in sys.modules:
            line = f"The same data again: pytest --testbed-seed={self._seed} '{item.nodeid}'"
            report.sections.append(("flask-testbed", line))
        if report.failed and self._choice.mode == "rollback":
            line = (
                "The test was isolated by rollback, so another process does not see what it"
                f" writes. With real commits: pytest --testbed-isolation=commit '{item.nodeid}'"
            )
            report.sections.append(("flask-testbed", line))
        if report.failed and report.when != "teardown" and self._option("keep_failed_db"):
            report.sections += [("flask-testbed", line) for line in self._copies()]
        return report

    def _copies(self) -> Iterator[str]:
        """Keep the databases as the test that has failed has left them. Says where."""
        for sandbox in self._sandboxes.values():
            try:
                url = sandbox.copy()
            except TestbedError as error:
                yield f"The test's database is not kept: {error}"
            else:
                if url is not None:
                    self._kept.append(f"{shown(url)} ({sandbox.isolation.test})")
                    yield f"The test's database as it was: {shown(url)}"

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Drop the databases, and tell the controller of xdist of them."""
        try:
            # The fixtures of a run that was interrupted end only now, and need their database.
            yield
        finally:
            self.close()
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput["testbed_kept"] = self._kept
            self._config.workeroutput["testbed_leaks"] = self._leaks
            self._config.workeroutput["testbed_left"] = self._left
        elif self._leaks and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Hear from a worker of xdist what it keeps, and what it has found."""
        output = getattr(node, "workeroutput", {})
        self._kept += output.get("testbed_kept", [])
        self._leaks += output.get("testbed_leaks", [])
        self._left += output.get("testbed_left", [])

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say where the databases are that are kept, and what tests have left in them."""
        for url in self._kept:
            terminalreporter.write_line(f"Test database kept: {url}")
        for error in self._left:
            terminalreporter.write_line(f"Left for the next run, or test-db prune: {error}")
        for leak in self._leaks:
            terminalreporter.write_line(f"Leaked: {leak}", red=True)

    def _forbid_database(self, item: pytest.Item) -> None:
        zones = [zone for zone in self._zones if item.path.is_relative_to(zone)]
        if item.get_closest_marker("no_database") is not None:
            self._forbid("it is marked no_database")
        elif zones:
            self._forbid(f"it is in {zones[0]} (testbed_no_database)")

    def _forbid(self, reason: str) -> None:
        gate.forbid(
            f"This test connects to the database, and must not, since {reason}. Either take the"
            " mark away, or move the test to where a database is allowed, or give it objects that"
            " were only built: factory.build()."
        )

    def _release_new(self) -> None:
        """Close the pools of the applications that the test has made, which may end with it."""
        while self._new:
            for database in databases_of(self._new.pop()):
                database.dispose()

    def _end_outer_session(self) -> None:
        """Close the session of a context that outlives the test, as that of ``manage.py test``."""
        if has_app_context():
            app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
            if app in self._applications:
                database_of(app).db.session.remove()


def _uses_postgresql(app: Flask) -> bool:
    """Whether any of an application's engines, if it has some, is for PostgreSQL."""
    if "sqlalchemy" not in app.extensions:
        return False
    with app.app_context():
        engines = app.extensions["sqlalchemy"].engines.values()
        return any(engine.dialect.name == "postgresql" for engine in engines)


def _worker(config: pytest.Config) -> str:
    """The name of this worker of pytest-xdist, empty without."""
    return str(getattr(config, "workerinput", {}).get("workerid", ""))
