"""A server, a role or a database that accepts no writes, and a role that is missing."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from flask_testbed import Testbed
from flask_testbed.embedded import folders, programs
from tests.support.servers import Stock
from tests.support.toys import Toys
from tests.support.waiting import PATIENCE, wait_for


def answers(stock: Stock) -> bool:
    try:
        return stock.rows("SELECT pg_is_in_recovery()") == [True]
    except psycopg.OperationalError:
        return False


def only_reads(stock: Stock) -> bool:
    with stock.connect(role="maker") as connection:
        return connection.execute("SHOW transaction_read_only").fetchone() == ("on",)


@pytest.fixture
def standby(stock: Stock) -> Iterator[Stock]:
    """A copy of a server that waits for what its primary server writes."""
    data = stock.home / "standby"
    stock.rows("CHECKPOINT")
    shutil.copytree(stock.home / "data", data, ignore=shutil.ignore_patterns("*.pid", ".s.*"))
    (data / "standby.signal").touch()
    account = folders.account_of(stock.home / "data")
    for path in [data, *data.rglob("*")]:
        folders.give(path, account)
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen(
        [
            *(programs.binaries_for(account) / "postgres", "-D", data, "-p", str(port)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
        ],
        stderr=subprocess.DEVNULL,
        cwd="/",
        **folders.run_as(account),
    ) as server:
        try:
            wait_for(lambda: answers(replace(stock, port=port)), "the standby")
            yield replace(stock, port=port)
        finally:
            server.terminate()
            server.wait(PATIENCE)
            shutil.rmtree(data)


def test_a_standby_is_one_sentence(standby: Stock, toys: Toys) -> None:
    app = toys.app(standby.url("own", "maker"))

    for command in (["create"], ["status"], ["drop"]):
        toys.run(app, "test-db", *command).assert_says(
            f"127.0.0.1:{standby.port}", "is a standby", "Name the primary server"
        )


@pytest.mark.parametrize("whose", ["ROLE maker", "SYSTEM"])
def test_a_role_or_server_that_only_reads_is_one_sentence(
    stock: Stock, toys: Toys, whose: str
) -> None:
    stock.rows(f"ALTER {whose} SET default_transaction_read_only = on")
    stock.rows("SELECT pg_reload_conf()")
    try:
        wait_for(lambda: only_reads(stock), "the setting")
        before = stock.databases()
        toys.run(toys.app(stock.url("own", "maker")), "test-db", "create").assert_says(
            "cannot execute CREATE TABLE in a read-only transaction",
            "has default_transaction_read_only = on",
            "SET default_transaction_read_only = off",
        )
        assert stock.databases() == before
    finally:
        with stock.connect() as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(f"ALTER {whose} RESET default_transaction_read_only")
            connection.execute("SELECT pg_reload_conf()")


def test_a_role_that_is_missing_is_one_sentence(stock: Stock, toys: Toys, tmp_path: Path) -> None:
    app = toys.app(stock.url("own", "maker"))
    testbed = Testbed(app)

    @testbed.template_hook
    def grant(session: Any) -> None:
        session.execute(text("GRANT SELECT ON book TO reporting"))

    toys.run(app, "test-db", "create").assert_says(
        'role "reporting" does not exist',
        "Roles belong to the server",
        'CREATE ROLE "reporting"',
    )
