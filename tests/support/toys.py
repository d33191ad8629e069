"""Toy applications in the process of the tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_testbed import Testbed, development_url

from .paths import INSTANCE
from .processes import Outcome


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


def toy_db(**options: Any) -> SQLAlchemy:
    """A Flask-SQLAlchemy with two models.

    :param options: those of its sessions.
    """

    class ToyBase(DeclarativeBase):
        pass

    class Author(ToyBase):
        __tablename__ = "author"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Book(ToyBase):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]

    return SQLAlchemy(model_class=ToyBase, session_options=options)


def adopted_app(database: str, db: SQLAlchemy) -> Flask:
    """An application that the plugin adopts: its engines are redirected to a test database.

    :param database: name of its own database, which is never created.
    """
    app = Flask("toy", instance_path=str(INSTANCE))
    app.config["SQLALCHEMY_DATABASE_URI"] = development_url(INSTANCE, database)
    db.init_app(app)
    Testbed(app)
    return app


def run_command(app: Flask, *command: str) -> Outcome:
    """Run a command of an application's, as ``flask`` would."""
    result = app.test_cli_runner().invoke(args=list(command))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)


class Toys:
    """Makes toy applications in this process, out of reach of the plugin that runs the tests."""

    def __init__(self, instance: Path) -> None:
        self._instance = instance

    def app(self, uri: str | None, db: SQLAlchemy | None = None, **config: Any) -> Flask:
        """An application with the commands of the testbed.

        :param uri: of its own database; by default on the embedded development server.
        """
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
        return run_command(app, *command)


def _driver(uri: str) -> str:
    return re.sub(r"^postgresql://", "postgresql+psycopg://", uri)
