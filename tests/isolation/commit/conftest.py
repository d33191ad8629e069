"""Databases without a sandbox, as a superuser and as a role with CREATEDB alone; and sandboxes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from psycopg import sql

from flask_testbed.application.databases import database_of
from flask_testbed.application.hooks import Hooks, set_hooks
from flask_testbed.application.target import target_of
from flask_testbed.embedded.server import EmbeddedServer
from flask_testbed.isolation.commit.install import install
from flask_testbed.isolation.commit.reset import accept_changes, prepare
from flask_testbed.postgres.connecting import Connection
from flask_testbed.sandbox.names import Keeping
from flask_testbed.sandbox.sandbox import Sandbox
from tests.support.boxes import Box, MakeBox, connect_as
from tests.support.notes import db
from tests.support.paths import INSTANCE


@pytest.fixture(params=["superuser", "ordinary"])
def role(request: pytest.FixtureRequest) -> str | None:
    """None for the superuser."""
    if request.param == "superuser":
        return None
    return str(request.getfixturevalue("ordinary"))


@pytest.fixture
def make_box(role: str | None) -> Iterator[MakeBox]:
    """Makes a database with what some statements have put into it.

    They may call it THIS_DATABASE. A superuser executes those in ``of_superuser`` before.
    """
    server = EmbeddedServer(INSTANCE, "test")
    server.start()
    name = f"box_{os.getpid()}"
    with ExitStack() as last:
        last.callback(server.release)
        administrator = last.enter_context(closing(connect_as(server, "postgres", None)))
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))

        def connect() -> Connection:
            return connect_as(server, name, role)

        def make(*statements: str, of_superuser: Sequence[str] = ()) -> Box:
            create = sql.SQL("CREATE DATABASE {} OWNER {}").format(
                sql.Identifier(name), sql.Identifier(role or administrator.info.user)
            )
            last.callback(administrator.execute, drop)
            administrator.execute(create)
            with closing(connect_as(server, name, None)) as connection:
                for statement in of_superuser:
                    connection.execute(statement)
            with closing(connect()) as connection:
                for statement in statements:
                    connection.execute(statement.replace("THIS_DATABASE", name))
            with closing(connect()) as connection:
                install(connection)
            resetter = prepare(last.enter_context(closing(connect())))
            accept_changes(resetter)
            return Box(name, connect, resetter)

        administrator.execute(drop)
        yield make


@pytest.fixture
def make_sandbox(
    monkeypatch: pytest.MonkeyPatch, init_app: Callable[..., None]
) -> Iterator[Callable[..., Sandbox]]:
    """Makes a sandbox: on the embedded server, or on that of a URL."""
    monkeypatch.setattr(SQLAlchemy, "init_app", init_app)
    made_for: list[Flask] = []
    with ExitStack() as last:

        def make(
            url: str | None = None, migration: Sequence[str] = (), keeping: Keeping | None = None
        ) -> Sandbox:
            app = Flask("open", instance_path=str(INSTANCE))
            app.config["SQLALCHEMY_DATABASE_URI"] = "postgresql+psycopg://localhost/open"
            server = EmbeddedServer(INSTANCE, "test")
            app.config["TEST_DATABASE_URL"] = url or server.url("open_test")
            last.callback(server.release)
            server.start()
            set_hooks(app, Hooks(functions=[_hook(migration)] if migration else []))
            db.init_app(app)
            last.callback(made_for.append, app)  # an AppDatabase refers to it weakly
            database = database_of(app)
            made = Sandbox(database, target_of(database), "", keeping)
            made.redirect(database)
            last.callback(made.close)
            return made

        yield make


@pytest.fixture
def sandbox(make_sandbox: Callable[..., Sandbox]) -> Sandbox:
    return make_sandbox()


def _hook(statements: Sequence[str]) -> Callable[[Any], None]:
    """Return a template hook that does what migrations would do."""

    def hook(session: Any) -> None:
        for statement in statements:
            session.connection().exec_driver_sql(statement.replace("%", "%%"))

    hook.__qualname__ = repr(statements)  # is part of the template's fingerprint
    return hook
