"""The databases that scenarios are played on: one of each kind for each process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_testbed import development_url
from flask_testbed.application.databases import database_of
from flask_testbed.application.target import target_of
from flask_testbed.embedded.server import EmbeddedServer
from flask_testbed.pytest_plugin.requests import isolate_requests
from flask_testbed.sandbox.sandbox import Sandbox
from tests.support.paths import INSTANCE
from tests.support.scenarios.bare import Bare
from tests.support.scenarios.stage import Stage
from tests.support.scenarios.toy import make_app

#: Who plays: the role of the run, which may be a superuser, and one with few rights.
ROLES = ("default", "ordinary")


@pytest.fixture(scope="session")
def unadopted(init_app: Callable[..., None]) -> Callable[..., Flask]:
    """Makes applications that the plugin, which runs these very tests, does not adopt."""

    def make(url: Any, **config: Any) -> Flask:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SQLAlchemy, "init_app", init_app)
            return make_app(url, str(INSTANCE), **config)

    return make


@pytest.fixture(scope="session", params=ROLES)
def stage(request: pytest.FixtureRequest, unadopted: Callable[..., Flask]) -> Iterator[Stage]:
    """Where a scenario is played by each role."""
    config = {}
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "ordinary":
            patch.delenv("TEST_DATABASE_URL", raising=False)
            url = EmbeddedServer(INSTANCE, "test").url("scenarios_ordinary_test")
            config["TEST_DATABASE_URL"] = url.set(username=request.getfixturevalue("ordinary"))
        app = unadopted(development_url(INSTANCE, f"scenarios_{request.param}"), **config)
        database = database_of(app)
        target = target_of(database)
    sandbox = Sandbox(database, target, os.environ.get("PYTEST_XDIST_WORKER", ""))
    sandbox.redirect(database)
    isolate_requests(app)
    powerful = request.param == "default"
    made = Stage(Bare(target, unadopted), sandbox, database.own_url, powerful=powerful)
    yield made
    made.close()
