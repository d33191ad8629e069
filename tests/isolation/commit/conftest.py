"""Databases that are reset without a sandbox, as a superuser and as a role with CREATEDB alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from psycopg import sql

from flask_testbed.embedded.server import EmbeddedServer
from flask_testbed.isolation.commit.install import install
from flask_testbed.isolation.commit.reset import accept_changes, prepare
from flask_testbed.postgres.connecting import Connection
from tests.support.boxes import Box, MakeBox, connect_as
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

    They may call it THIS_DATABASE.
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

        def make(*statements: str) -> Box:
            create = sql.SQL("CREATE DATABASE {} OWNER {}").format(
                sql.Identifier(name), sql.Identifier(role or administrator.info.user)
            )
            last.callback(administrator.execute, drop)
            administrator.execute(create)
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
