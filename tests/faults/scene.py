"""Where faults happen: a project, a server, and what was there before."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from flask import Flask

from flask_testbed.embedded.server import EmbeddedServer
from flask_testbed.postgres.labels import UNFINISHED
from tests.support.pooler import Pooler
from tests.support.processes import Process, Python
from tests.support.projects import Project
from tests.support.servers import Stock, clear_away, rough_folder
from tests.support.waiting import PATIENCE, wait_for

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


class Broken(Exception):
    """Something is not as it must be."""


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
        place = {"DATABASE_URL": self.url} if self.url else {"TOY_INSTANCE": str(self.instance)}
        return {"FLASK_APP": "toyapp"} | place

    def start(self, command: tuple[str, ...], place: str = "", when: str = "") -> Process:
        """Start a command that stops at a place."""
        return self.project.start("stop.py", place, when, *command, **self.variables)

    def finish(self, process: Process) -> str:
        """Wait for a command. Raises if it fails."""
        out, err = process.communicate(timeout=PATIENCE)
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


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def make_project(root: Path, python: Python) -> Project:
    """Write a toy project that can be stopped."""
    project = Project.make(root, python)
    project.write(stop=STOP, test_it=TEST)
    return project


def on_stock(stock: Stock, root: Path, python: Python) -> Scene:
    """A scene on a server of somebody else's, who has databases there."""
    for name in ("own", "precious_test", UNFINISHED + "theirs"):
        stock.create(name)
    scene = Scene(make_project(root, python), stock.url("own", "maker"), stock)
    scene.before = set(stock.databases())
    return scene


def through_pooler(stock: Stock, root: Path, python: Python, between: Pooler) -> Scene:
    """A scene on the same server, with a pooler in front of it."""
    scene = Scene(make_project(root, python), between.url("own", "maker"), stock)
    scene.before = set(stock.databases())
    return scene


def on_embedded(root: Path, python: Python) -> Scene:
    """A scene on an embedded server, whose folder is where ``FLASK_TESTBED_HOME`` says."""
    scene = Scene(make_project(root, python), "", instance=root / "instance")
    scene.before = {"postgres", "template0", "template1"}
    return scene


@contextmanager
def small_disk() -> Iterator[Path]:
    """A home on a disk of its own that is soon full, if one may make one; else any."""
    home = rough_folder()
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
