"""A command that a test invokes is run as `flask` would run it."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import click
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from flask import Flask, current_app
from flask.cli import with_appcontext
from flask.globals import app_ctx
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_testbed import development_url
from flask_testbed.pytest_plugin.modes import MODES
from tests.support.paths import INSTANCE


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)

feature: ContextVar[str] = ContextVar("feature", default="off")


class Note(db.Model):
    __tablename__ = "command_note"
    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    text: Mapped[str]


@click.command()
@with_appcontext
def standalone() -> None:
    add("standalone")


@click.command()
def plain() -> None:
    add("plain")


def add(text: str) -> None:
    """Add a note, and commit nothing: the command forgets it."""
    db.session.add(Note(text=text))
    db.session.flush()


def make_app(name: str) -> Flask:
    app = Flask(name, instance_path=str(INSTANCE))
    app.config["SQLALCHEMY_DATABASE_URI"] = development_url(INSTANCE, "commands")
    app.ends = []  # type: ignore[attr-defined]
    db.init_app(app)
    app.cli.add_command(plain)

    @app.cli.command()
    @click.option("--commit", is_flag=True)
    def note(commit: bool) -> None:
        add("command")
        click.echo(f"{current_app.name} {id(app_ctx._get_current_object())} {feature.get()}")
        feature.set("set by the command")
        if commit:
            db.session.commit()

    @app.cli.command()
    def fail() -> None:
        add("failed")
        raise LookupError

    @app.teardown_appcontext
    def ended(error: BaseException | None) -> None:
        app.ends.append(error)

    return app


@pytest.fixture(scope="module")
def app() -> Flask:
    """In place of the repository's own: the plugin adopts it all the same."""
    return make_app("notes")


def texts() -> list[str]:
    return list(db.session.scalars(sa.select(Note.text).order_by(Note.id)))


def _of_flask(app: Flask) -> Any:
    return app.test_cli_runner().invoke(args=["note"])


def _of_flask_with_a_command(app: Flask) -> Any:
    return app.test_cli_runner().invoke(standalone)


def _plain(app: Flask) -> Any:
    return app.test_cli_runner().invoke(args=["plain"])


def _of_click(app: Flask) -> Any:
    return CliRunner().invoke(standalone)


def _by_a_call(app: Flask) -> Any:
    app.cli(["note"], standalone_mode=False)


Invoke = Callable[[Flask], Any]

WAYS: list[Invoke] = [_of_flask, _of_flask_with_a_command, _plain, _of_click, _by_a_call]


@pytest.mark.parametrize(
    "mode", [pytest.param(mode, marks=pytest.mark.isolation(mode)) for mode in MODES]
)
def test_a_command_has_a_session_of_its_own(app, db, mode) -> None:
    for invoke in WAYS:
        mine = Note(text="mine")
        db.session.add(mine)
        db.session.flush()
        before = db.session()

        result = invoke(app)

        assert result is None or result.exception is None, result
        assert db.session() is before
        assert mine in db.session
        db.session.rollback()
        assert texts() == []
        db.session.rollback()


def test_what_a_command_commits_is_seen_and_what_the_test_has_flushed_is_not(app, db) -> None:
    db.session.add(Note(text="mine"))
    db.session.flush()
    app.test_cli_runner().invoke(args=["note", "--commit"])
    db.session.rollback()
    assert texts() == ["command"]


def test_a_command_sees_the_variables_of_its_test_and_changes_none(app) -> None:
    token = feature.set("on")
    result = app.test_cli_runner().invoke(args=["note"])
    assert result.output.split() == ["notes", result.output.split()[1], "on"]
    assert int(result.output.split()[1]) != id(app_ctx._get_current_object())
    assert feature.get() == "on"
    feature.reset(token)


def test_a_command_of_another_application(app) -> None:
    other = make_app("other")
    assert other.test_cli_runner().invoke(args=["note"]).output.startswith("other ")


def test_the_context_of_a_command_ends_with_it_and_with_its_error(app) -> None:
    del app.ends[:]
    runner = app.test_cli_runner()
    assert runner.invoke(args=["note"]).exit_code == 0
    failed = runner.invoke(args=["fail"])
    assert isinstance(failed.exception, LookupError)
    assert app.ends == [None, failed.exception]
