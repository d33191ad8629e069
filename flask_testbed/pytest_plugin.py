"""The pytest plugin: needs an ``app`` fixture, as pytest-flask does, and nothing else.

Each application's engines are sent to a test database before anything connects. The database is
made when a test first connects, put back after each test that used it, and dropped at the end. A
test that never connects pays nothing.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from flask import Flask, current_app, has_app_context
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import URL

from .development import target_of
from .engines import State, attach
from .errors import SettingsError, TestbedError
from .requests import isolate_requests
from .sandbox import Keeping, Sandbox
from .server import shown

if TYPE_CHECKING:
    from _pytest.fixtures import SubRequest

_PLUGIN = "flask-testbed-session"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("flask-testbed", "test databases (flask-testbed)")
    group.addoption(
        "--reuse-db",
        action="store_true",
        help="use the test database of the last such run, if its schema is current, and keep it",
    )
    group.addoption(
        "--create-db",
        action="store_true",
        help="with --reuse-db: make the database anew all the same",
    )
    group.addoption(
        "--keep-db",
        action="store_true",
        help="leave the test database when the run ends; the next run replaces it",
    )
    group.addoption(
        "--testbed-seed",
        type=int,
        metavar="N",
        help="seed of the random values in factories, to run a failed test with the same data",
    )


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Stand ready before a conftest makes an application."""
    plugin = Session(early_config)
    early_config.pluginmanager.register(plugin, _PLUGIN)
    plugin.watch()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give everything back."""
    plugin: Session | None = config.pluginmanager.getplugin(_PLUGIN)
    if plugin is not None:
        plugin.unwatch()


class Session:
    """What the plugin does in one process: a session of pytest, or of an xdist worker."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._sandboxes: dict[tuple[str, int], Sandbox] = {}
        self._applications: list[Flask] = []
        self._session: pytest.Session | None = None
        self._init_app: Callable[..., None] | None = None
        self._seed = 0
        self._kept: list[str] = []

    # Applications

    def watch(self) -> None:
        """Adopt each application as soon as it gets its engines, before it can connect."""
        init_app = self._init_app = SQLAlchemy.init_app

        def init_and_adopt(db: SQLAlchemy, app: Flask) -> None:
            init_app(db, app)
            if _is_postgresql(db, app):
                self.adopt(app)

        SQLAlchemy.init_app = init_and_adopt  # type: ignore[method-assign, assignment]

    def unwatch(self) -> None:
        """Leave Flask-SQLAlchemy as it was."""
        if self._init_app is not None:
            SQLAlchemy.init_app = self._init_app  # type: ignore[method-assign]

    def adopt(self, app: Flask) -> None:
        """Send an application's engines to a test database, and give its requests a context.

        :raises SettingsError: the application's engine cannot be sent anywhere.
        """
        if app in self._applications:
            return
        state = attach(app)
        try:
            sandbox = self._sandbox(app, state)
        except TestbedError as error:
            self._stop(error)
        sandbox.redirect(app, state)
        state.route.to_test = lambda: self._resolve(sandbox)
        isolate_requests(app)
        self._applications.append(app)

    def _sandbox(self, app: Flask, state: State) -> Sandbox:
        """The sandbox of an application; those with the same models share one."""
        target = target_of(app, state)
        key = (target.url.render_as_string(hide_password=False), id(state.db))
        if key not in self._sandboxes:
            options = self._config.option
            self._sandboxes[key] = Sandbox(
                app,
                state,
                target,
                worker=_worker(self._config),
                keeping=Keeping(options.reuse_db, options.create_db, options.keep_db),
            )
        return self._sandboxes[key]

    def _resolve(self, sandbox: Sandbox) -> URL:
        """Where to connect to."""
        try:
            return sandbox.url()
        except TestbedError as error:
            self._stop(error)

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
        given = config.getoption("testbed_seed")
        shared = getattr(config, "workerinput", {}).get("testbed_seed")
        self._seed = next(s for s in (given, shared, secrets.randbits(32)) if s is not None)
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
        randomness = sys.modules.get("flask_testbed.randomness")
        if randomness is not None:
            randomness.reseed(f"{self._seed}:{item.nodeid}")

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
        """Adopt what the ``app`` fixture returns, if it was made before pytest began."""
        value = yield
        if fixturedef.argname == "app" and isinstance(value, Flask):
            self.adopt(value)
        return value

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        """Put the database back after all fixtures of the test are gone."""
        try:
            yield
        finally:
            self._end_outer_session()
            for sandbox in self._sandboxes.values():
                sandbox.put_back()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Say with a failure how to get the same random values again."""
        report = yield
        if report.failed and "flask_testbed.randomness" in sys.modules:
            line = f"The same data again: pytest --testbed-seed={self._seed} '{item.nodeid}'"
            report.sections.append(("flask-testbed", line))
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Drop the databases, or note where those are that are kept."""
        for sandbox in self._sandboxes.values():
            kept = sandbox.close()
            if kept is not None:
                self._kept.append(shown(kept))
        self._sandboxes.clear()
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput["testbed_kept"] = self._kept

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Hear from a worker of xdist what it keeps."""
        self._kept += getattr(node, "workeroutput", {}).get("testbed_kept", [])

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say where the databases are that are kept."""
        for url in self._kept:
            terminalreporter.write_line(f"Test database kept: {url}")

    def _end_outer_session(self) -> None:
        """Close the session of a context that outlives the test, as that of ``manage.py test``."""
        if has_app_context() and current_app in self._applications:
            state = attach(current_app._get_current_object())  # type: ignore[attr-defined]
            state.db.session.remove()


@pytest.fixture(autouse=True)
def _testbed_context(request: SubRequest) -> Iterator[None]:
    """Have an application context in each test that asks for ``app``, with or without pytest-flask.

    pytest-flask pushes a request's context, which brings one.
    """
    wanted = "app" in request.fixturenames
    pushed = request.config.pluginmanager.hasplugin("flask")
    context = request.getfixturevalue("app").app_context() if wanted and not pushed else None
    with context or nullcontext():
        yield


@pytest.fixture
def db(app: Flask) -> SQLAlchemy:
    """The application's Flask-SQLAlchemy, with a context pushed, on the test database."""
    found: SQLAlchemy | None = app.extensions.get("sqlalchemy")
    if found is None:
        raise SettingsError("The 'app' fixture returned an application without Flask-SQLAlchemy.")
    return found


def _is_postgresql(db: SQLAlchemy, app: Flask) -> bool:
    with app.app_context():
        return None in db.engines and db.engine.dialect.name == "postgresql"


def _worker(config: pytest.Config) -> str:
    """The name of this worker of pytest-xdist, empty without."""
    return str(getattr(config, "workerinput", {}).get("workerid", ""))
