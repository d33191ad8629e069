"""Toy projects, whose commands and tests are run by processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from .processes import Outcome, Process, Python, finish

#: Variables that decide where a database is, or how pytest runs. A test sets them itself.
DECIDING = ["TEST_DATABASE_URL", "TEST_DATABASE_MAINTENANCE", "DATABASE_URL", "APP_ENV"]
DECIDING += ["FLASK_ENV", "ENVIRONMENT"]
DECIDING += ["FLASK_APP", "FLASK_DEBUG", "PGHOST", "PGPORT", "PGUSER", "PGPASSWORD"]
DECIDING += ["PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"]

# They would only make each run start later.
_UNUSED_PLUGINS = ["randomly", "hypothesispytest", "faker", "pytest_cov", "repeat", "pytest_repeat"]

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
        instance = os.environ.get("TOY_INSTANCE") or os.path.abspath("instance")
        app = Flask("toy", instance_path=instance)
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

MANAGE = """
    from flask.cli import FlaskGroup
    from toyapp import create_app
    cli = FlaskGroup(create_app=create_app)
    if __name__ == "__main__":
        cli()
"""


@dataclass
class Project:
    """A project with an application and tests.

    :param root: its folder.
    :param python: runs its commands.
    """

    root: Path
    python: Python

    @classmethod
    def make(cls, root: Path, python: Python) -> Project:
        """Write a project with two functions on one model, and with warnings as errors."""
        made = cls(root, python)
        addopts = " ".join(f"-p no:{plugin}" for plugin in _UNUSED_PLUGINS)
        (root / "pytest.ini").write_text(
            f"[pytest]\nfilterwarnings = error\npythonpath = .\naddopts = {addopts}\n"
        )
        made.write(models=MODELS, toyapp=APP, conftest=CONFTEST)
        return made

    def write(self, **files: str) -> None:
        """Write files of Python: ``test_it="…"`` is ``test_it.py``."""
        for name, text in files.items():
            (self.root / f"{name}.py").write_text(textwrap.dedent(text))

    def start(self, *command: str, **environment: str) -> Process:
        """Start a command of Python's (``-m pytest …``) in the project."""
        return self.python.start(command, self.root, os.environ | environment)

    def start_anew(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command in a Python that has imported nothing yet."""
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=self.root,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | environment,
            stdin=subprocess.DEVNULL,
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


def write_manage(project: Project) -> None:
    """Give a project a ``manage.py``, and tests where ``manage.py test`` looks for them."""
    project.write(manage=MANAGE)
    tests = project.root / "tests" / "integration"
    tests.mkdir(parents=True)
    (tests / "test_it.py").write_text(
        textwrap.dedent("""
            import os
            from flask import current_app, has_app_context
            from models import add, db, titles

            def test_in_context():
                assert has_app_context()
                add("x")
                assert titles() == ["x"]
                assert db.engine.url.database == "own_test"

            def test_again():
                assert titles() == []
                assert os.environ.get("FAIL") is None
        """)
    )
