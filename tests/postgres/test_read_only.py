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
    account = folders.account_of(stock.home / "data")
    binaries, run_as = programs.binaries_for(account), folders.run_as(account)
    data.mkdir(mode=0o700)
    folders.give(data, account)
    backup = [binaries / "pg_basebackup", "-d", stock.url("postgres"), "-D", data]
    backup += ["--wal-method=fetch", "--checkpoint=fast", "--no-sync"]
    subprocess.run(backup, check=True, cwd="/", **run_as)
    (data / "standby.signal").touch()
    prepared = stock.rows("SHOW max_prepared_transactions")[0]  # not below the primary's
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen(
        [
            *(binaries / "postgres", "-D", data, "-p", str(port)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
            *("-c", f"max_prepared_transactions={prepared}"),
        ],
        stderr=subprocess.DEVNULL,
        cwd="/",
        **run_as,
    ) as server:
        try:
            wait_for(
                lambda: server.poll() is not None or answers(replace(stock, port=port)),
                "the standby",
            )
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


@pytest.mark.parametrize(
    "what", ["SELECT ON pg_database", "EXECUTE ON FUNCTION pg_try_advisory_lock(bigint)"]
)
def test_a_privilege_that_every_role_has_by_default_is_named(
    stock: Stock, toys: Toys, what: str
) -> None:
    stock.rows(f"REVOKE {what} FROM public")
    try:
        toys.run(toys.app(stock.url("own", "maker")), "test-db", "create").assert_says(
            f"permission denied for {'table' if 'SELECT' in what else 'function'} pg_",
            'let an administrator grant it to "maker"',
        )
    finally:
        stock.rows(f"GRANT {what} TO public")


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
