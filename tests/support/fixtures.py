"""What the engine's tests share: a server of somebody else's, and toy projects to run on it.

The engine is tested from outside: through its commands, and through ``pytest`` in a process of
its own. Nothing here uses a server that the machine may have.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from psycopg import sql
from sqlalchemy.engine import URL
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_testbed import Testbed
from flask_testbed.embedded import EmbeddedServer, folders, programs
from flask_testbed.postgres.cluster import Cluster
from tests.support.paths import INSTANCE

#: Seconds that a process of a test may take.
PATIENCE = 60

# What a test sets of these, it sets itself.
_DECIDING = ["TEST_DATABASE_URL", "DATABASE_URL", "APP_ENV", "FLASK_ENV", "ENVIRONMENT"]
_DECIDING += ["FLASK_APP", "FLASK_DEBUG", "PGHOST", "PGPORT", "PGUSER", "PGPASSWORD"]
_DECIDING += ["PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"]

_SLOW_PLUGINS = ["randomly", "hypothesispytest", "faker", "pytest_cov", "repeat", "pytest_repeat"]

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


@pytest.fixture(scope="session")
def ordinary() -> Iterator[str]:
    """A role that may make databases and nothing else, on the embedded server."""
    server = EmbeddedServer(INSTANCE, "test")
    cluster = Cluster(server.url("postgres"), "the embedded server", server)
    name = "testbed_ordinary"
    with cluster.locked(name, "to make a role"):
        known = cluster.connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [name])
        if not known.rowcount:
            cluster.connection.execute("CREATE ROLE testbed_ordinary LOGIN CREATEDB")
    yield name
    cluster.close()


@pytest.fixture(scope="session")
def init_app(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Flask-SQLAlchemy's own: the plugin, which runs these tests, adopts no such application."""
    plugin: Any = request.config.pluginmanager.getplugin("flask-testbed-session")
    original: Callable[..., None] = plugin._init_app
    return original


def add_tables(session: Any) -> None:
    """A template hook: so many that each write is noted, instead of looking at them all."""
    session.execute(
        sa.text(
            "DO $$ BEGIN FOR n IN 1..60 LOOP EXECUTE format('CREATE TABLE room_%s (id int)', n);"
            " END LOOP; END $$;"
            " CREATE TABLE shelf (id int) PARTITION BY RANGE (id);"
            " CREATE TABLE shelf_low PARTITION OF shelf FOR VALUES FROM (0) TO (100);"
            " CREATE TABLE annex (door text) INHERITS (room_1);"
            " CREATE VIEW hatch AS SELECT id FROM room_2;"
        )
    )


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


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 20) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain: {what}"
        time.sleep(0.01)


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
        return psycopg.connect(self.url(database, role), autocommit=True)

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


@pytest.fixture(scope="session")
def _stock_server() -> Iterator[Stock]:
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
    command += ["-c", f"unix_socket_directories={data}"]
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


@pytest.fixture
def stock(_stock_server: Stock) -> Iterator[Stock]:
    """A server of somebody else's, without any database but its own."""
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
    for name in _DECIDING:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FLASK_TESTBED_HOME", str(embedded_home))
    return monkeypatch


@dataclass
class Outcome:
    """How a command or a run ended."""

    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All that was printed."""
        return self.out + self.err

    def counts(self) -> dict[str, int]:
        """How many tests passed, failed and so on, from pytest's last line."""
        lines = [line for line in self.out.splitlines() if re.search(r" in \d+\.\d+s", line)]
        assert lines, self.text
        last = lines[-1]
        return {word.rstrip("s"): int(n) for n, word in re.findall(r"(\d+) ([a-z]+)", last)}

    def assert_says(self, *parts: str, status: int = 1) -> None:
        """One clear sentence, the status of a failure, and no traceback."""
        assert self.status == status, self.text
        assert "Traceback" not in self.text, self.text
        for part in parts:
            assert part in self.text


def toy_db() -> SQLAlchemy:
    """A Flask-SQLAlchemy with two models, one of which refers to the other."""

    class ToyBase(DeclarativeBase):
        pass

    class Author(ToyBase):
        __tablename__ = "author"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Book(ToyBase):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]

    return SQLAlchemy(model_class=ToyBase)


class Toys:
    """Makes toy applications in this process, out of reach of the plugin that runs the tests."""

    def __init__(self, instance: Path) -> None:
        self._instance = instance

    def app(self, uri: str | None, db: SQLAlchemy | None = None, **config: Any) -> Flask:
        """An application with the commands of the testbed.

        :param uri: of its own database; by default on the embedded development server.
        """
        from flask_testbed import development_url

        app = Flask("toy", instance_path=str(self._instance))
        app.config.update(config)
        app.config["SQLALCHEMY_DATABASE_URI"] = _driver(
            uri or development_url(self._instance, "toy")
        )
        (db or toy_db()).init_app(app)
        Testbed(app)
        return app

    def run(self, app: Flask, *command: str) -> Outcome:
        """Run a command of an application's, as ``flask`` would."""
        result = app.test_cli_runner().invoke(args=list(command))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)


def _driver(uri: str) -> str:
    return re.sub(r"^postgresql://", "postgresql+psycopg://", uri)


@pytest.fixture
def toys(request: pytest.FixtureRequest, environment: pytest.MonkeyPatch, tmp_path: Path) -> Toys:
    """Toy applications in this process."""
    # The plugin that runs these very tests would adopt them, and end the run if they are wrong.
    plugin: Any = request.config.pluginmanager.getplugin("flask-testbed-session")
    if plugin is not None:
        environment.setattr(SQLAlchemy, "init_app", plugin._init_app)
    return Toys(tmp_path / "instance")


MODELS = """
    from __future__ import annotations
    from flask import Flask
    from flask_sqlalchemy import SQLAlchemy
    from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

    class Base(DeclarativeBase):
        pass

    db = SQLAlchemy(model_class=Base)

    class Book(Base):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]

    def titles():
        return sorted(db.session.scalars(db.select(Book.title)))

    def add(title):
        db.session.add(Book(title=title))
        db.session.commit()
"""

APP = """
    import os
    from flask_testbed import Testbed, development_url
    from models import db, Book, Flask

    def create_app(**config):
        app = Flask("toy", instance_path=os.path.join(os.path.dirname(__file__), "instance"))
        uri = os.environ.get("DATABASE_URL") or development_url(app.instance_path, "toy")
        app.config["SQLALCHEMY_DATABASE_URI"] = uri.replace(
            "postgresql://", "postgresql+psycopg://"
        )
        app.config["TESTING"] = True
        app.config.update(config)
        db.init_app(app)
        Testbed(app)

        @app.post("/books/<title>")
        def write(title):
            db.session.add(Book(title=title))
            db.session.commit()
            return "written"

        return app
"""

CONFTEST = """
    import pytest
    from toyapp import create_app

    @pytest.fixture(scope="session")
    def app():
        return create_app()
"""


@dataclass
class Project:
    """A project of somebody else's, with an application and tests, run by processes of its own."""

    root: Path

    def write(self, **files: str) -> None:
        """Write files of Python: ``test_it="…"`` is ``test_it.py``."""
        for name, text in files.items():
            (self.root / f"{name}.py").write_text(textwrap.dedent(text))

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command of Python's (``-m pytest …``) in the project."""
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=self.root,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command: str, **environment: str) -> Outcome:
        """Run a command of Python's to its end."""
        with self.start(*command, **environment) as process:
            return finish(process)

    def pytest(self, *arguments: str, **environment: str) -> Outcome:
        """Run the project's tests."""
        return self.run("-m", "pytest", "-p", "no:cacheprovider", *arguments, **environment)


def finish(process: subprocess.Popen[str], signal_first: signal.Signals | None = None) -> Outcome:
    """Wait for a process, which may first get a signal."""
    if signal_first is not None:
        process.send_signal(signal_first)
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"it did not end within {PATIENCE} s: {out}{err}")
    return Outcome(process.returncode, out, err)


@pytest.fixture
def project(environment: pytest.MonkeyPatch, tmp_path: Path) -> Project:
    """A toy project, with warnings as errors."""
    made = Project(tmp_path)
    # Without the plugins that would only make each process start later.
    addopts = " ".join(f"-p no:{plugin}" for plugin in _SLOW_PLUGINS)
    (tmp_path / "pytest.ini").write_text(
        f"[pytest]\nfilterwarnings = error\npythonpath = .\naddopts = {addopts}\n"
    )
    made.write(models=MODELS, toyapp=APP, conftest=CONFTEST)
    return made


def assert_no_password(outcome: Outcome, *passwords: str) -> None:
    """None of the passwords is in what was printed."""
    for password in passwords:
        assert password not in outcome.text


def words(*commands: Sequence[str]) -> list[Any]:
    """Parametrise a test by commands, each named by its words."""
    return [pytest.param(command, id=" ".join(command)) for command in commands]
