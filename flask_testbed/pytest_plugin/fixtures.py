"""The fixtures of the plugin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from ..errors import SettingsError
from . import queries
from .live_server import LiveServer
from .requests import isolate_requests

Scope = Literal["session", "package", "module", "class", "function"]


@pytest.fixture(autouse=True)
def _testbed_context(request: pytest.FixtureRequest) -> Iterator[None]:
    """Push an application context in each test that asks for ``app``, unless pytest-flask does.

    pytest-flask pushes a request context, which pushes an application context.
    """
    context: AbstractContextManager[object] = nullcontext()
    if "app" in request.fixturenames and not request.config.pluginmanager.hasplugin("flask"):
        app: Flask = request.getfixturevalue("app")
        # An application without PostgreSQL too: its requests would share the g of this context.
        isolate_requests(app)
        context = app.app_context()
    with context:
        yield


@pytest.fixture
def db(app: Flask) -> SQLAlchemy:
    """The application's Flask-SQLAlchemy, on the test database, in an application context."""
    found: SQLAlchemy | None = app.extensions.get("sqlalchemy")
    if found is None:
        raise SettingsError("The 'app' fixture returned an application without Flask-SQLAlchemy.")
    return found


@pytest.fixture
def assert_queries() -> Callable[..., AbstractContextManager[queries.Queries]]:
    """``with assert_queries(2):`` or ``at_most=2``: a block must send that many queries."""
    return queries.assert_queries


def _live_server_scope(fixture_name: str, config: pytest.Config) -> Scope:
    if not config.pluginmanager.hasplugin("flask"):
        return "session"
    scope: Scope = config.getini("live_server_scope")
    return scope


@pytest.fixture(scope=_live_server_scope)
def live_server(app: Flask, pytestconfig: pytest.Config) -> Iterator[LiveServer]:
    """The application over HTTP, in a thread, on the test database: ``live_server.url("/")``.

    It replaces the fixture of pytest-flask, which forks, and has the same options and scope.
    """
    port = app.config.get("LIVESERVER_PORT") or pytestconfig.getoption("live_server_port", 0)
    server = LiveServer(app, port=port)
    if pytestconfig.getoption("start_live_server", True):
        server.start()
    name = app.config["SERVER_NAME"]
    # url_for(…, _external=True) then leads to the server.
    app.config["SERVER_NAME"] = f"{(name or server.host).split(':')[0]}:{server.port}"
    yield server
    app.config["SERVER_NAME"] = name
    server.stop()
