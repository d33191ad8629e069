"""Fixtures that the tests of several packages share."""

from __future__ import annotations

import importlib.util
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event
from sqlalchemy.orm import Session

from flask_testbed.embedded import EmbeddedServer
from flask_testbed.postgres.cluster import Cluster

from .migrations import write_migrations
from .paths import INSTANCE
from .processes import Python
from .projects import DECIDING, Project
from .servers import Stock, clear_away, drop_databases, rough_folder, stock_server
from .toys import Toys


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_by_default() -> Iterator[None]:
    """Let SIGINT end the processes that tests start.

    A shell that starts a run in the background has it ignored, which processes inherit.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def ordinary() -> Iterator[str]:
    """A role that may make databases and nothing else, on the embedded server."""
    server = EmbeddedServer(INSTANCE, "test")
    cluster = Cluster(server.url("postgres"), "the embedded server", server)
    name = "testbed_ordinary"
    with cluster.locks.locked(name, "to make a role"):
        known = cluster.connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [name])
        if not known.rowcount:
            cluster.connection.execute("CREATE ROLE testbed_ordinary LOGIN CREATEDB")
    yield name
    cluster.close()


@pytest.fixture(scope="session")
def init_app(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Flask-SQLAlchemy's own: the plugin, which runs these tests, adopts no such application."""
    plugin: Any = request.config.pluginmanager.getplugin("flask-testbed-session")
    original: Callable[..., None] = plugin.applications.init_app
    return original


@pytest.fixture(scope="session")
def _stock_server() -> Iterator[Stock]:
    with stock_server() as stock:
        yield stock


@pytest.fixture
def stock(_stock_server: Stock) -> Iterator[Stock]:
    """An external server, without any database but its own."""
    yield _stock_server
    _stock_server.drop_all()


@pytest.fixture(scope="session")
def embedded_home() -> Iterator[Path]:
    """A folder in which embedded servers live, for as long as the tests run."""
    home = rough_folder()
    yield home
    clear_away(home)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, embedded_home: Path) -> pytest.MonkeyPatch:
    """An environment in which nothing is decided."""
    for name in DECIDING:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FLASK_TESTBED_HOME", str(embedded_home))
    return monkeypatch


@pytest.fixture
def toys(request: pytest.FixtureRequest, environment: pytest.MonkeyPatch, tmp_path: Path) -> Toys:
    """Toy applications in this process."""
    # The plugin that runs these very tests would adopt them, and end the run if they are wrong.
    plugin: Any = request.config.pluginmanager.getplugin("flask-testbed-session")
    if plugin is not None:
        environment.setattr(SQLAlchemy, "init_app", plugin.applications.init_app)
    return Toys(tmp_path / "instance")


@pytest.fixture
def toy(toy_app: Flask) -> Iterator[Flask]:
    """The current application: that of the fixture ``toy_app``, which modules define."""
    with toy_app.app_context():
        yield toy_app


@pytest.fixture
def elsewhere(toy: Flask) -> Iterator[Session]:
    """A session of its own on the toy application's database: it sees what is committed."""
    with Session(toy.extensions["sqlalchemy"].engine) as session:
        yield session


@pytest.fixture
def commits(toy: Flask) -> Iterator[list[Session]]:
    """The sessions that have committed since the test began, one for each commit."""
    seen: list[Session] = []

    def after_commit(session: Session) -> None:
        # A savepoint that is released says so by the same event.
        if not session.in_nested_transaction():
            seen.append(session)

    with toy.extensions["sqlalchemy"].engine.connect():
        pass  # Creating the database, if this is the first test that needs one, commits, too.
    event.listen(Session, "after_commit", after_commit)
    yield seen
    event.remove(Session, "after_commit", after_commit)


@pytest.fixture
def no_ruff(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ruff can neither be imported nor found in a folder of ``PATH``."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: find_spec(name) if name != "ruff" else None
    )
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture(scope="session")
def python() -> Iterator[Python]:
    """Runs commands of Python in forks of one process."""
    python = Python()
    yield python
    python.close()


@pytest.fixture(scope="session")
def _shared_server(embedded_home: Path) -> Iterator[EmbeddedServer]:
    """Keep one embedded server up, so that not each project makes and starts its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLASK_TESTBED_HOME", str(embedded_home))
        server = EmbeddedServer(Path("/srv/toy/instance"), "test")
        server.start()
    yield server
    server.release()


@pytest.fixture
def project(
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
    python: Python,
    _shared_server: EmbeddedServer,
) -> Iterator[Project]:
    """A toy project, with warnings as errors, on an embedded server without any database."""
    environment.setenv("TOY_INSTANCE", str(_shared_server.instance))
    yield Project.make(tmp_path, python)
    drop_databases(_shared_server.url("postgres"))
    development = EmbeddedServer(_shared_server.instance, "development").home
    if development.exists():  # few projects use their own database
        clear_away(development)


@pytest.fixture
def home(environment: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for embedded servers that only one test uses."""
    folder = rough_folder()
    environment.setenv("FLASK_TESTBED_HOME", str(folder))
    yield folder
    clear_away(folder)


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    """A folder with one migration, which makes a table called shelf."""
    folder = tmp_path / "migrations"
    write_migrations(folder)
    return folder
