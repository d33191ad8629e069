"""PostgreSQL servers for tests: an external one with passwords, and folders for embedded ones."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

from flask_testbed._compat import UnwatchedConnection
from flask_testbed.embedded import folders, programs
from flask_testbed.postgres.labels import Kind, Label

from .waiting import PATIENCE, wait_for

# Runs a server until its standard input ends, which it does however the test run ends.
_WATCHER = """
import json, shutil, subprocess, sys, signal
config = json.loads(sys.argv[1])
signal.signal(signal.SIGINT, signal.SIG_IGN)
# The server's own sessions come and go with the tests; Ctrl-C is not for it.
server = subprocess.Popen(
    config["command"], stdin=subprocess.DEVNULL, start_new_session=True, cwd="/",
    stdout=open(config["log"], "wb"), stderr=subprocess.STDOUT, **config["run_as"],
)
sys.stdin.read()
server.send_signal(signal.SIGINT)
server.wait()
shutil.rmtree(config["home"])
"""


def rough_folder() -> Path:
    """A new folder that the account of a server can pass through, in memory where there is room."""
    memory = Path("/dev/shm")
    parent = memory if os.access(memory, os.W_OK | os.X_OK) else None
    if parent is not None:
        room = os.statvfs(parent)
        parent = parent if room.f_bavail * room.f_frsize > 1 << 30 else None
    folder = Path(tempfile.mkdtemp(prefix="testbed-tests-", dir=parent))
    folder.chmod(0o711)
    return folder


def clear_away(home: Path) -> None:
    """Wait for the embedded servers of a folder to stop, and remove it, whatever happens."""
    try:
        wait_for(lambda: not list(home.rglob("postmaster.pid")), f"the servers in {home} to stop")
    finally:
        for file in home.rglob("postmaster.pid"):
            with suppress(OSError, ValueError, psutil.Error):
                process = psutil.Process(int(file.read_text().split()[0]))
                if str(home) in " ".join(process.cmdline()):
                    process.kill()
        shutil.rmtree(home, ignore_errors=True)


def drop_databases(url: URL) -> None:
    """Drop all databases of a server but its own and the engine's templates."""
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        names = connection.execute(
            "SELECT datname FROM pg_database WHERE datname NOT LIKE ALL (%s)",
            [["postgres", "template_", "flask_testbed_%"]],
        ).fetchall()
        for (name,) in names:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )


@dataclass(frozen=True)
class Stock:
    """A server as an administrator would have set it up, with passwords and default settings.

    Its roles are ``boss`` (a superuser), ``maker`` (may create databases) and ``weak`` (may not).
    """

    home: Path
    port: int
    password: str

    def url(self, database: str, role: str = "boss", **parts: Any) -> str:
        """The URL of one of its databases, with the password."""
        url = URL.create(
            "postgresql", role, self.password, "127.0.0.1", self.port, database, query={}
        )
        return url.set(**parts).render_as_string(hide_password=False)

    def connect(self, database: str = "postgres", role: str = "boss") -> psycopg.Connection[Any]:
        """Connect, in autocommit mode."""
        # The plugin, which runs these tests, redirects connections of psycopg's own.
        return UnwatchedConnection.connect(self.url(database, role), autocommit=True)

    def rows(self, statement: str, database: str = "postgres", *values: Any) -> list[Any]:
        """The first column of what a statement gives."""
        with self.connect(database) as connection:
            cursor = connection.execute(statement, values or None)  # type: ignore[call-overload]
            return [row[0] for row in cursor] if cursor.description else []

    @property
    def version(self) -> int:
        """As a number: 180001 is 18.1."""
        with self.connect() as connection:
            return connection.info.server_version

    def databases(self) -> list[str]:
        """The names of all its databases."""
        return self.rows("SELECT datname FROM pg_database ORDER BY 1")

    def marks(self) -> dict[str, str]:
        """Every database with what the engine may have written on it."""
        names = self.databases()
        comment = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"
        return {name: self.rows(comment, "postgres", name)[0] or "" for name in names}

    def label(self, name: str, kind: str = "kept", fingerprint: str = "0" * 16) -> None:
        """Write the label on a database that the engine would have written on it."""
        (oid,) = self.rows("SELECT oid FROM pg_database WHERE datname = %s", "postgres", name)
        text = str(Label.create(Kind(kind), fingerprint).written_on(name, oid))
        with self.connect() as connection:
            connection.execute(
                sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), text)
            )

    def create(self, name: str, role: str = "boss") -> Victim:
        """Make a database of somebody else's, with a row in it."""
        with self.connect(role=role) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        victim = Victim(self, name)
        victim.seed()
        return victim

    def drop_all(self) -> None:
        """Drop whatever a test has left, and end the sessions of those whom it has killed.

        They hold their locks until the server has noticed.
        """
        self.rows(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        for name in set(self.databases()) - {"postgres", "template0", "template1"}:
            with self.connect() as connection:
                connection.execute(
                    sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
                )


@dataclass
class Victim:
    """A database that the engine must leave alone."""

    server: Stock
    name: str
    before: list[str] = field(default_factory=list)

    def seed(self) -> None:
        """Put a row into it, and remember what is on the server."""
        self.server.rows("CREATE TABLE precious (word text)", self.name)
        self.server.rows("INSERT INTO precious VALUES ('still here')", self.name)
        self.before = self.server.databases()

    def assert_untouched(self) -> None:
        """Its row is there, nothing else is in it, and no database has come or gone."""
        tables = "SELECT relname FROM pg_class WHERE relkind = 'r' AND oid > 16383"
        assert self.server.rows(tables, self.name) == ["precious"]
        assert self.server.rows("SELECT word FROM precious", self.name) == ["still here"]
        assert self.server.databases() == self.before

    def sessions(self) -> int:
        """How many sessions it has had in all, those of this class among them."""
        if self.server.version >= 150000:
            self.server.rows("SELECT pg_stat_force_next_flush()")
        else:
            time.sleep(1)  # the collector of statistics hears of it by then
        statement = "SELECT sessions FROM pg_stat_database WHERE datname = %s"
        return int(self.server.rows(statement, "postgres", self.name)[0])


@contextmanager
def stock_server() -> Iterator[Stock]:
    """Run an external server until the end of a block."""
    home = rough_folder()
    watcher: subprocess.Popen[bytes] | None = None
    try:
        watcher, stock = _start_stock(home)
        yield stock
    finally:
        if watcher is not None:
            assert watcher.stdin is not None
            watcher.stdin.close()
            watcher.wait(PATIENCE)
        shutil.rmtree(home, ignore_errors=True)


def _start_stock(home: Path) -> tuple[subprocess.Popen[bytes], Stock]:
    data = home / "data"
    account = folders.account_of(data)
    chosen = os.environ.get("TESTBED_STOCK_BIN")
    binaries = Path(chosen) if chosen else programs.binaries_for(account)
    password = secrets.token_hex(8)
    secret = home / "password"
    secret.write_text(password)
    data.mkdir(mode=0o700)
    folders.give(data, account)
    folders.give(secret, account)
    run_as = folders.run_as(account)
    initdb = [binaries / "initdb", "-D", data, "-U", "boss", "--auth=scram-sha-256"]
    initdb += [f"--pwfile={secret}", "--encoding=UTF8", "--locale=C", "--no-sync"]
    subprocess.run(initdb, check=True, capture_output=True, cwd="/", **run_as)
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [binaries / "postgres", "-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1"]
    command += ["-c", f"unix_socket_directories={data}", "-c", "max_prepared_transactions=4"]
    config = {
        "home": str(home),
        "log": str(home / "log"),
        "command": [str(word) for word in command],
        "run_as": run_as,
    }
    watcher = subprocess.Popen(
        [sys.executable, "-c", _WATCHER, json.dumps(config)], stdin=subprocess.PIPE
    )
    stock = Stock(home, port, password)
    wait_for(lambda: _answers(stock), "a stock server")
    for role, rights in (("maker", "CREATEDB"), ("weak", "NOCREATEDB")):
        stock.rows(f"CREATE ROLE {role} LOGIN {rights} PASSWORD '{password}'")
    return watcher, stock


def _answers(stock: Stock) -> bool:
    try:
        return stock.rows("SELECT 1") == [1]
    except psycopg.OperationalError:
        return False
