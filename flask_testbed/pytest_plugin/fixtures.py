"""The fixtures of the plugin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from ..errors import SettingsError
from ..pytest_plugin import queries
from .live_server import LiveServer
from .requests import isolate_requests

Scope = Literal["session", "package", "module", "class", "function"]

if TYPE_CHECKING:
    from _pytest.fixtures import SubRequest


@pytest.fixture(autouse=True)
def _testbed_context(request: SubRequest) -> Iterator[None]:
    """Have an application context in each test that asks for ``app``, with or without pytest-flask.

    pytest-flask pushes a request's context, which brings one.
    """
    context: AbstractContextManager[object] = nullcontext()
    if "app" in request.fixturenames and not request.config.pluginmanager.hasplugin("flask"):
        app: Flask = request.getfixturevalue("app")
        # One without PostgreSQL, too: in this context its requests would share the test's g.
        isolate_requests(app)
        context = app.app_context()
    with context:
        yield


@pytest.fixture
def db(app: Flask) -> SQLAlchemy:
    """The application's Flask-SQLAlchemy, with a context pushed, on the test database."""
    found: SQLAlchemy | None = app.extensions.get("sqlalchemy")
    if found is None:
        raise SettingsError("The 'app' fixture returned an application without Flask-SQLAlchemy.")
    return found


@pytest.fixture
def assert_queries() -> Callable[..., AbstractContextManager[queries.Queries]]:
    """``with assert_queries(2):`` or ``at_most=2``: expect that many queries in a block."""
    return queries.assert_queries


def _live_server_scope(fixture_name: str, config: pytest.Config) -> Scope:
    if not config.pluginmanager.hasplugin("flask"):
        return "session"
    scope: Scope = config.getini("live_server_scope")
    return scope


@pytest.fixture(scope=_live_server_scope)
def live_server(app: Flask, pytestconfig: pytest.Config) -> Iterator[LiveServer]:
    """The application over HTTP, in a thread, on the test's database: ``live_server.url("/")``.

    Takes the place of pytest-flask's, which forks, and keeps to its options and its scope.
    """
    port = app.config.get("LIVESERVER_PORT") or pytestconfig.getoption("live_server_port", 0)
    server = LiveServer(app, port=port)
    if pytestconfig.getoption("start_live_server", True):
        server.start()
    name = app.config["SERVER_NAME"]
    # So that url_for(…, _external=True) leads to the server.
    app.config["SERVER_NAME"] = f"{(name or server.host).split(':')[0]}:{server.port}"
    yield server
    app.config["SERVER_NAME"] = name
    server.stop()
