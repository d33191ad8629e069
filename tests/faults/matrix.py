"""Every fault at every moment: ``python -m tests.faults`` prints what becomes of it.

A process does one of the engine's jobs and stops at a moment of it. Then the fault happens, and the
process goes on, if it still can. Afterwards there must be no half-made database and no lost one,
and the next run must succeed and leave nothing.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import click
import psutil
import psycopg
from flask import Flask

from flask_testbed import TestbedError
from flask_testbed.cli.common import table
from flask_testbed.databases.pruning import prune_templates
from flask_testbed.databases.servers import cluster_of
from flask_testbed.databases.snapshots import Snapshots
from flask_testbed.databases.test_database import TestDatabase
from flask_testbed.embedded.server import EmbeddedServer
from flask_testbed.postgres.labels import UNFINISHED
from tests.support import fixtures
from tests.support.fixtures import Project, Stock, clear_away, wait_for

#: Runs a command of ``flask`` or ``pytest``, and stops where it is told to.
STOP = """
import importlib, pathlib, sys, time

def pause():
    pathlib.Path("reached").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.005)

def stop_at(place, when):
    module, _, path = place.partition(":")
    owner, _, name = path.rpartition(".")
    holder = importlib.import_module(module)
    holder = getattr(holder, owner) if owner else holder
    original = getattr(holder, name)

    def stopped(*args, **kwargs):
        # Once: what cleans up afterwards may come by here again.
        setattr(holder, name, original)
        if when == "before":
            pause()
        result = original(*args, **kwargs)
        if when == "after":
            pause()
        return result

    setattr(holder, name, stopped)

place, when, program, *arguments = sys.argv[1:]
if place:
    stop_at(place, when)
sys.argv = [program, *arguments]
if program == "pytest":
    import pytest
    sys.exit(pytest.main(arguments))
import flask.cli
flask.cli.main()
"""

TEST = """
    import pathlib, time
    from models import add, titles

    def test_it(app):
        add("x")
        assert titles() == ["x"]
        if not pathlib.Path("again").exists():
            pathlib.Path("in-use").touch()
"""

CREATE = ("flask", "test-db", "create")
RESET = ("flask", "test-db", "reset")
DROP = ("flask", "test-db", "drop")
SAVE = ("flask", "test-db", "snapshot", "save", "two")
RESTORE = ("flask", "test-db", "snapshot", "restore", "one")
PYTEST = ("pytest", "-q", "-p", "no:cacheprovider")

_CLUSTER = "flask_testbed.postgres.cluster:Cluster"
_EMBEDDED = "flask_testbed.embedded.server"


@dataclass(frozen=True)
class Moment:
    """Where a process stops."""

    name: str
    command: tuple[str, ...]
    place: str
    when: str = "before"


#: On a server of somebody else's.
MOMENTS = [
    Moment("template: tables made, no label", CREATE, "flask_testbed.databases.template:install"),
    Moment("template: labelled and named", CREATE, f"{_CLUSTER}._finish", "after"),
    Moment("create: template held", CREATE, f"{_CLUSTER}.clone"),
    Moment("create: clone copied", CREATE, f"{_CLUSTER}.clone", "after"),
    Moment("reset: both are there", RESET, f"{_CLUSTER}._replace"),
    Moment("reset: swapped", RESET, f"{_CLUSTER}.end_sessions", "after"),
    Moment("drop: before", DROP, f"{_CLUSTER}.drop"),
    Moment("drop: after", DROP, f"{_CLUSTER}.drop", "after"),
    Moment("snapshot save: copied", SAVE, f"{_CLUSTER}._create", "after"),
    Moment("snapshot restore: copied", RESTORE, f"{_CLUSTER}._create", "after"),
    Moment("snapshot restore: swapped", RESTORE, f"{_CLUSTER}._finish", "after"),
    Moment("pytest: clone copied", PYTEST, f"{_CLUSTER}.clone", "after"),
    Moment("pytest: in a test", PYTEST, "pathlib:Path.touch", "after"),
    Moment("pytest: being put back", PYTEST, "flask_testbed.isolation.commit.reset:_call"),
    Moment("pytest: being dropped", PYTEST, f"{_CLUSTER}.drop"),
]

#: On an embedded server of one's own.
EMBEDDED_MOMENTS = [
    Moment("server: being made", CREATE, f"{_EMBEDDED}:give", "after"),
    Moment("server: starting", CREATE, f"{_EMBEDDED}:EmbeddedServer._run_keeper"),
    Moment("server: started", CREATE, f"{_EMBEDDED}:EmbeddedServer._run_keeper", "after"),
    Moment("template: tables made, no label", CREATE, "flask_testbed.databases.template:install"),
    Moment("create: clone copied", CREATE, f"{_CLUSTER}.clone", "after"),
    Moment("pytest: in a test", PYTEST, "pathlib:Path.touch", "after"),
]


@dataclass
class Scene:
    """Where it happens: a project, a server, and what was there before."""

    project: Project
    url: str
    stock: Stock | None = None
    before: set[str] = field(default_factory=set)
    instance: Path = Path()
    _app: Flask | None = None

    @property
    def app(self) -> Flask:
        """The project's application, in this process."""
        if self._app is None:
            sys.path.insert(0, str(self.project.root))
            sys.modules.pop("toyapp", None)
            sys.modules.pop("models", None)
            with _environment(self.variables):
                self._app = importlib.import_module("toyapp").create_app()
            sys.path.remove(str(self.project.root))
        return self._app

    @property
    def variables(self) -> dict[str, str]:
        """The environment of its commands."""
        return {"FLASK_APP": "toyapp"} | ({"DATABASE_URL": self.url} if self.url else {})

    def start(self, command: tuple[str, ...], place: str = "", when: str = "") -> Popen:
        """Start a command that stops at a place."""
        return self.project.start("stop.py", place, when, *command, **self.variables)

    def finish(self, process: Popen) -> str:
        """Wait for a command. Raises if it fails."""
        out, err = process.communicate(timeout=120)
        if process.returncode:
            raise Broken(f"status {process.returncode}: {(out + err).strip()[-300:]}")
        return out + err

    @property
    def server(self) -> EmbeddedServer:
        return EmbeddedServer(self.instance, "test")

    def databases(self) -> dict[str, bool]:
        """The names of all databases, and whether each bears the mark."""
        if self.stock is not None:
            marks = self.stock.marks()
        else:
            with self._embedded() as connection:
                marks = dict(
                    connection.execute(
                        "SELECT datname, coalesce(shobj_description(oid, 'pg_database'), '')"
                        " FROM pg_database"
                    ).fetchall()
                )
        return {name: mark.startswith("flask-testbed: ") for name, mark in marks.items()}

    @contextmanager
    def _embedded(self) -> Iterator[psycopg.Connection[tuple[str, str]]]:
        server = self.server
        server.start()
        try:
            url = server.url("postgres").set(drivername="postgresql")
            with closing(psycopg.connect(url.render_as_string(), autocommit=True)) as connection:
                yield connection
        finally:
            server.release()


Popen = subprocess.Popen[str]


class Broken(Exception):
    """Something is not as it must be."""


@dataclass(frozen=True)
class Fault:
    """What happens to a process that has stopped, or around it."""

    name: str
    happen: Callable[[Scene, Popen, ExitStack], None]
    dies: bool = False
    """Whether the process ends by it without a word."""


def _signal(number: signal.Signals) -> Callable[[Scene, Popen, ExitStack], None]:
    return lambda scene, process, after: process.send_signal(number)


def _end_backends(scene: Scene, process: Popen, after: ExitStack) -> None:
    assert scene.stock is not None
    scene.stock.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND usename = 'maker'"
    )


def _limit(scene: Scene, process: Popen, after: ExitStack) -> None:
    assert scene.stock is not None
    scene.stock.rows("ALTER ROLE maker CONNECTION LIMIT 0")
    after.callback(scene.stock.rows, "ALTER ROLE maker CONNECTION LIMIT -1")


def _connect(scene: Scene, process: Popen, after: ExitStack) -> None:
    """Somebody connects to all databases that take connections, and stays."""
    assert scene.stock is not None
    for name in scene.stock.rows("SELECT datname FROM pg_database WHERE datallowconn"):
        if name != "template1":
            after.enter_context(closing(scene.stock.connect(name)))


def _take_name(scene: Scene, process: Popen, after: ExitStack) -> None:
    """Somebody makes a database of the same name, if it is free."""
    assert scene.stock is not None
    with suppress(psycopg.errors.DuplicateDatabase):
        scene.stock.rows("CREATE DATABASE own_test")
        after.callback(scene.stock.rows, "DROP DATABASE IF EXISTS own_test WITH (FORCE)")


def _kill_server(scene: Scene, process: Popen, after: ExitStack) -> None:
    with suppress(FileNotFoundError):
        pid = int((scene.server.data / "postmaster.pid").read_text().split()[0])
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).kill()


def _kill_keeper(scene: Scene, process: Popen, after: ExitStack) -> None:
    for found in psutil.process_iter(["cmdline"]):
        words = found.info["cmdline"] or []
        if any(w.endswith("keeper.py") for w in words) and str(scene.server.home) in str(words):
            found.kill()


def _fill_disk(scene: Scene, process: Popen, after: ExitStack) -> None:
    """Use up the small disk on which the server is."""
    ballast = scene.server.home / "ballast"
    after.callback(ballast.unlink, missing_ok=True)
    with suppress(OSError), ballast.open("wb") as file:
        while True:
            file.write(bytes(1 << 16))


FAULTS = [
    Fault("SIGKILL", _signal(signal.SIGKILL), dies=True),
    Fault("SIGINT", _signal(signal.SIGINT)),
    Fault("SIGTERM", _signal(signal.SIGTERM), dies=True),
    Fault("backends ended", _end_backends),
    Fault("no connection left", _limit),
    Fault("a stranger connects", _connect),
    Fault("the name is taken", _take_name),
]

EMBEDDED_FAULTS = [
    Fault("SIGKILL", _signal(signal.SIGKILL), dies=True),
    Fault("SIGINT", _signal(signal.SIGINT)),
    Fault("server killed", _kill_server),
    Fault("keeper killed", _kill_keeper),
    Fault("disk full", _fill_disk),
]


def suffer(scene: Scene, moment: Moment, fault: Fault) -> None:
    """Let a fault happen at a moment, and look at what becomes of it.

    :raises Broken: something is not as it must be.
    """
    root = scene.project.root
    for file in ("reached", "go", "again", "in-use"):
        (root / file).unlink(missing_ok=True)
    if moment.command not in (CREATE, PYTEST):
        TestDatabase(scene.app).create()
        Snapshots(scene.app).save("one")
    process = scene.start(moment.command, moment.place, moment.when)
    try:
        wait_for(
            lambda: (root / "reached").exists() or process.poll() is not None, "the moment", 60
        )
        if not (root / "reached").exists():
            raise Broken(f"it never came to that: {process.communicate()}")
        with ExitStack() as after:
            fault.happen(scene, process, after)
            (root / "go").touch()
            out, err = process.communicate(timeout=120)
            _look(scene, moment, fault, out + err)
    finally:
        process.kill()
        process.wait()
    (root / "again").touch()
    _mend(scene, moment)


def _look(scene: Scene, moment: Moment, fault: Fault, said: str) -> None:
    """What must be so at once."""
    if "Traceback" in said and not fault.dies and fault.name != "SIGINT":
        raise Broken(f"a traceback: {said.strip()[-300:]}")
    if fault.name == "disk full":
        return  # the server may be down, and is looked at when there is room again
    marks = scene.databases()
    if lost := scene.before - marks.keys():
        raise Broken(f"lost: {sorted(lost)}")
    for name in marks.keys() - scene.before:
        foreign = name == "own_test" and fault.name == "the name is taken"
        if not marks[name] and not name.startswith(UNFINISHED) and not foreign:
            raise Broken(f"half-made: {name}")
    if moment.command in (RESET, RESTORE) and "own_test" not in marks and scene.stock:
        raise Broken("the test database is gone")


def _mend(scene: Scene, moment: Moment) -> None:
    """What the next run must do."""
    if scene.stock is not None:
        wait_for(
            lambda: (
                scene.stock is not None
                and scene.stock.rows("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
                == [0]
            ),
            "the locks to be free",
        )
    if moment.command == PYTEST:
        scene.finish(scene.start(PYTEST))
    database, snapshots = TestDatabase(scene.app), Snapshots(scene.app)
    database.create()
    with database.temporary() as (cluster, name), closing(cluster.connect(name)) as connection:
        connection.execute("INSERT INTO book (title) VALUES ('x')")
    for snapshot in snapshots.list():
        assert snapshot.label is not None
        snapshots.restore(snapshot.label.title)
        snapshots.drop(snapshot.label.title)
    database.drop()
    database.prune()
    with closing(cluster_of(database.target)) as cluster:
        prune_templates(cluster, "", keep=0)
    if left := scene.databases().keys() - scene.before:
        raise Broken(f"leftover: {sorted(left)}")


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def make_project(root: Path) -> Project:
    """A toy project that can be stopped."""
    project = Project(root)
    plugins = " ".join(f"-p no:{plugin}" for plugin in fixtures._SLOW_PLUGINS)
    (root / "pytest.ini").write_text(f"[pytest]\npythonpath = .\naddopts = {plugins}\n")
    project.write(models=fixtures.MODELS, toyapp=fixtures.APP, conftest=fixtures.CONFTEST)
    project.write(test_it=TEST)
    (root / "stop.py").write_text(STOP)
    return project


def on_stock(stock: Stock, root: Path) -> Scene:
    """A scene on a server of somebody else's, who has databases there."""
    for name in ("own", "precious_test", UNFINISHED + "theirs"):
        stock.create(name)
    scene = Scene(make_project(root), stock.url("own", "maker"), stock)
    scene.before = set(stock.databases())
    return scene


def on_embedded(root: Path) -> Scene:
    """A scene on an embedded server, whose folder is where ``FLASK_TESTBED_HOME`` says."""
    scene = Scene(make_project(root), "", instance=root / "instance")
    scene.before = {"postgres", "template0", "template1"}
    return scene


@contextmanager
def small_disk() -> Iterator[Path]:
    """A home on a disk of its own that is soon full, if one may make one; else any."""
    home = fixtures.rough_folder()
    options = ["-t", "tmpfs", "-o", "size=160m,mode=711", "tmpfs", str(home)]
    mounted = os.geteuid() == 0 and subprocess.run(["mount", *options], check=False).returncode == 0
    try:
        yield home
    finally:
        if mounted:
            wait_for(lambda: not list(home.rglob("postmaster.pid")), "the servers to stop")
            # Lazily: a keeper that has just stopped its server may still be in there.
            subprocess.run(["umount", "--lazy", str(home)], check=True)
            shutil.rmtree(home, ignore_errors=True)
        else:
            clear_away(home)


def play(
    scene: Scene, moments: list[Moment], faults: list[Fault], only: str
) -> Iterator[tuple[Moment, Fault, str]]:
    """Let every fault happen at every moment; yield what became of it."""
    for moment in moments:
        for fault in faults:
            if only in f"{moment.name}, {fault.name}":
                outcome = "mended"
                try:
                    suffer(scene, moment, fault)
                except (Broken, TestbedError, AssertionError, subprocess.TimeoutExpired) as error:
                    outcome = f"BROKEN: {error}"
                yield moment, fault, outcome


def show(where: str, played: list[tuple[Moment, Fault, str]]) -> int:
    """Print a table; return how many are broken."""
    broken = [one for one in played if one[2] != "mended"]
    moments = list(dict.fromkeys(moment.name for moment, _, _ in played))
    faults = list(dict.fromkeys(fault.name for _, fault, _ in played))
    words = {(m.name, f.name): outcome.split(":")[0] for m, f, outcome in played}
    rows = [[moment, *(words.get((moment, fault), "") for fault in faults)] for moment in moments]
    click.echo(table([where, *faults], rows))
    for moment, fault, outcome in broken:
        click.echo(f"\n{moment.name}, {fault.name}:\n{textwrap.indent(outcome, '  ')}")
    click.echo(f"{len(played)} combinations, {len(broken)} broken.\n")
    return len(broken)


@click.command()
@click.option("--only", default="", help="Those whose 'moment, fault' holds this text.")
def main(only: str) -> None:
    """Let every fault happen at every moment of the engine's work.

    \b
    Example:
      python -m tests.faults --only SIGKILL
    """
    for name in fixtures._DECIDING:
        os.environ.pop(name, None)
    home, broken = fixtures.rough_folder(), 0
    watcher, stock = fixtures._start_stock(home)
    try:
        with tempfile.TemporaryDirectory() as folder, small_disk() as disk:
            Path(folder).chmod(0o711)
            os.environ["FLASK_TESTBED_HOME"] = str(disk)
            here, there = Path(folder, "stock"), Path(folder, "embedded")
            here.mkdir()
            there.mkdir()
            for where, scene, moments, faults in (
                ("a server of somebody else's", on_stock(stock, here), MOMENTS, FAULTS),
                ("an embedded server", on_embedded(there), EMBEDDED_MOMENTS, EMBEDDED_FAULTS),
            ):
                broken += show(where, list(_told(play(scene, moments, faults, only))))
    finally:
        assert watcher.stdin is not None
        watcher.stdin.close()
        watcher.wait()
        shutil.rmtree(home, ignore_errors=True)
    sys.exit(1 if broken else 0)


def _told(played: Iterator[tuple[Moment, Fault, str]]) -> Iterator[tuple[Moment, Fault, str]]:
    """Say each outcome as soon as it is known: all of them take minutes."""
    for moment, fault, outcome in played:
        click.echo(f"{moment.name}, {fault.name}: {outcome}", err=True)
        yield moment, fault, outcome
