"""What a test database costs: made by a command, in a run of pytest, and by Django."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path

import click

from benchmarks.measure import Timings, interleave, milliseconds, show
from flask_testbed.databases.servers import cluster_of
from flask_testbed.databases.test_database import TestDatabase
from flask_testbed.postgres.cluster import Cluster
from flask_testbed.postgres.labels import TEMPLATE

#: As many tables as the other benchmarks use.
TABLES = 15

_FLASK = '''
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_testbed import Testbed, development_url


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


def model(number):
    """A table that refers to the one before."""
    columns = {
        "__tablename__": f"shelf_{number}",
        "__annotations__": {"id": Mapped[int], "name": Mapped[str]},
        "id": mapped_column(primary_key=True),
        "name": mapped_column(unique=True),
    }
    if number:
        columns["__annotations__"]["parent_id"] = Mapped[int]
        columns["parent_id"] = mapped_column(ForeignKey(f"shelf_{number - 1}.id"), index=True)
    return type(f"Shelf{number}", (db.Model,), columns)


Shelf = [model(number) for number in range(TABLES)][0]


def create_app():
    app = Flask("shop", root_path=ROOT, instance_path=ROOT + "/instance")
    app.config["SQLALCHEMY_DATABASE_URI"] = development_url(app.instance_path, "shop")
    app.config["TESTING"] = True
    db.init_app(app)
    Testbed(app)
    return app
'''

_FLASK_TESTS = {
    "conftest.py": """
import pytest
from flask_shop import create_app


@pytest.fixture(scope="session")
def app():
    return create_app()
""",
    "test_with.py": """
from flask_shop import Shelf


def test_it(db):
    db.session.add(Shelf(name="one"))
    db.session.commit()
""",
    "test_without.py": """
def test_it(app):
    assert app
""",
    "test_many.py": """
import pytest
from flask_shop import Shelf


@pytest.mark.parametrize("number", range(200))
def test_it(db, number):
    db.session.add(Shelf(name=str(number)))
    db.session.commit()
""",
}

_DJANGO = {
    "django_settings.py": """
SECRET_KEY = "x"
INSTALLED_APPS = ["shelves"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "postgres",
        "USER": "postgres",
        "HOST": HOST,
        "PORT": PORT,
        "TEST": {"NAME": "django_test"},
    }
}
""",
    "shelves/__init__.py": "",
    "shelves/models.py": '''
from django.db import models


def model(number):
    """A table that refers to the one before."""
    fields = {"__module__": __name__, "name": models.TextField(unique=True)}
    if number:
        fields["parent"] = models.ForeignKey(f"Shelf{number - 1}", models.CASCADE)
    return type(f"Shelf{number}", (models.Model,), fields)


Shelf = [model(number) for number in range(TABLES)][0]
''',
    "test_with.py": """
import pytest
from shelves.models import Shelf


@pytest.mark.django_db
def test_it():
    Shelf.objects.create(name="one")
""",
    "test_without.py": """
def test_it():
    pass
""",
}

# Prints how long Django takes to make its test database, and destroys it again.
_DJANGO_CREATE = """
import sys, time
import django
from django.db import connection

django.setup()
keep = sys.argv[1] == "keep"
creation = connection.creation
if keep:
    creation.create_test_db(verbosity=0, autoclobber=True, keepdb=True)
    connection.close()
    connection.settings_dict["NAME"] = "postgres"
connection.ensure_connection()
started = time.perf_counter()
creation.create_test_db(verbosity=0, autoclobber=True, keepdb=keep)
print(time.perf_counter() - started)
creation.destroy_test_db("postgres", verbosity=0, keepdb=keep)
"""

_SLOW_PLUGINS = ["randomly", "hypothesispytest", "faker", "pytest_cov", "repeat", "split"]


def write(folder: Path, files: dict[str, str], **constants: object) -> None:
    """Write the files of a project; constants are prepended to each."""
    head = "".join(f"{name} = {value!r}\n" for name, value in constants.items())
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(head + text)


@contextmanager
def projects() -> Iterator[tuple[Path, Path]]:
    """Two projects in a temporary folder, one of Flask and one of Django, on one server."""
    root = Path(tempfile.mkdtemp(prefix="testbed-benchmark-"))
    root.chmod(0o711)
    flask, django = root / "flask", root / "django"
    for folder in (flask, django):
        folder.mkdir()
        (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    write(flask, {"flask_shop.py": _FLASK}, TABLES=TABLES, ROOT=str(flask))
    write(flask, _FLASK_TESTS)
    try:
        yield flask, django
    finally:
        shutil.rmtree(root)


def run(folder: Path, *arguments: str, **environment: str) -> str:
    """Run a command of Python's in a project."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=_environment() | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise click.ClickException(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _environment() -> dict[str, str]:
    deciding = {"TEST_DATABASE_URL", "DATABASE_URL", "PYTEST_ADDOPTS", "FLASK_TESTBED_HOME"}
    return {key: value for key, value in os.environ.items() if key not in deciding}


def _pytest(folder: Path, *arguments: str, without: list[str]) -> Callable[[], None]:
    plugins = [f"-pno:{plugin}" for plugin in [*_SLOW_PLUGINS, *without, "cacheprovider"]]

    def once() -> None:
        run(folder, "-m", "pytest", "-q", *plugins, *arguments)

    return once


def databases(flask: Path, django: Path | None, cluster: Cluster, rounds: int) -> None:
    """Measure the making of one database, inside the process."""
    sys.path.insert(0, str(flask))
    from flask_shop import create_app  # type: ignore[import-not-found]

    database = TestDatabase(create_app())
    administrator = cluster.connection

    def create() -> float:
        seconds = database.create().seconds
        database.drop()
        return seconds

    def made(name: str, how: str) -> float:
        started = time.perf_counter()
        administrator.execute(f"CREATE DATABASE {name} {how}")
        seconds = time.perf_counter() - started
        administrator.execute(f"DROP DATABASE {name}")
        return seconds

    create()
    template = cluster.find_all(TEMPLATE + ".*")[0].name

    def django_create(how: str) -> float:
        return float(
            run(
                django or flask, "-c", _DJANGO_CREATE, how, DJANGO_SETTINGS_MODULE="django_settings"
            )
        )

    cases: dict[str, Callable[[], float | None]] = {
        "a clone of the template": lambda: made(
            "cloned", f"TEMPLATE {template} STRATEGY FILE_COPY"
        ),
        "CREATE DATABASE, empty": lambda: made("bare", ""),
        "test-db create": create,
    }
    if django is not None:
        cases["Django, cold"] = lambda: django_create("anew")
        cases["Django, keepdb"] = lambda: django_create("keep")
    timings = interleave(cases, rounds)
    _table(timings, "a clone of the template", "a test database, inside the process")


def processes(flask: Path, django: Path | None, rounds: int) -> None:
    """Measure whole runs of pytest."""
    ours = ["django"]
    cases: dict[str, Callable[[], float | None]] = {
        "no database": _pytest(flask, "test_without.py", without=ours),
        "one database test": _pytest(flask, "test_with.py", without=ours),
        "one database test, --reuse-db": _pytest(flask, "test_with.py", "--reuse-db", without=ours),
    }
    if django is not None:
        theirs = ["flask_testbed", "pytest-flask", "flask"]
        settings = "--ds=django_settings"
        cases |= {
            "Django: no database": _pytest(django, settings, "test_without.py", without=theirs),
            "Django: --create-db": _pytest(
                django, settings, "--create-db", "test_with.py", without=theirs
            ),
            "Django: --reuse-db": _pytest(
                django, settings, "--reuse-db", "test_with.py", without=theirs
            ),
        }
    timings = interleave(cases, rounds)
    _table(timings, "no database", "one trivial test, the whole process", difference=True)
    if django is not None:
        of_django = {name: t for name, t in timings.items() if name.startswith("Django")}
        _table(of_django, "Django: no database", "the same, of Django alone", difference=True)


def workers(flask: Path, rounds: int) -> None:
    """Measure what a second worker costs and brings."""
    cases: dict[str, Callable[[], float | None]] = {
        "one process": _pytest(flask, "test_many.py", without=["django"]),
        "-n 2": _pytest(flask, "test_many.py", "-n2", without=["django"]),
        "-n 2, no database": _pytest(flask, "test_without.py", "-n2", without=["django"]),
        "-n 2, one database test": _pytest(flask, "test_with.py", "-n2", without=["django"]),
    }
    _table(interleave(cases, rounds), "one process", "workers: 200 tests, or one", difference=True)


def _table(
    timings: dict[str, Timings], floor: str, title: str, *, difference: bool = False
) -> None:
    base = timings[floor].median
    headings = [title, "median ms", "best ms", f"beside: {floor}"]
    rows = []
    for name, timing in timings.items():
        beside = f"{timing.median / base:.2f} times"
        if difference:
            beside = f"{(timing.median - base) * 1000:+,.0f} ms"
        rows.append([name, milliseconds(timing.median), milliseconds(timing.best), beside])
    show(headings, rows)
    click.echo()


@click.command()
@click.option("--rounds", default=15, show_default=True, help="How often each case is run.")
@click.option("--only", type=click.Choice(["databases", "processes", "workers"]))
def command(rounds: int, only: str | None) -> None:
    """What it costs to have a test database, beside a clone, and beside Django.

    \b
    Example:
      python -m benchmarks create --rounds 5
    """
    with projects() as (flask, django):
        sys.path.insert(0, str(flask))
        from flask_shop import create_app

        target = TestDatabase(create_app()).target
        # The server is up all the time: its start is not what is compared.
        with closing(cluster_of(target)) as cluster:
            assert cluster.connection
            peer = django if find_spec("django") and find_spec("pytest_django") else None
            if peer is None:
                click.echo("Without Django: pip install -r requirements-benchmarks.txt\n")
            else:
                query = cluster.url.query
                write(django, _DJANGO, TABLES=TABLES, HOST=query["host"], PORT=query["port"])
            if only in (None, "databases"):
                databases(flask, peer, cluster, rounds)
            if only in (None, "processes"):
                processes(flask, peer, max(3, rounds // 2))
            if only in (None, "workers"):
                workers(flask, max(3, rounds // 3))
