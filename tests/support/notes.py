"""A toy application with one model, and sandboxes of it that tests make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import URL
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_testbed.postgres.connecting import connect_parameters
from flask_testbed.sandbox.sandbox import Sandbox


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class Note(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


def add(sandbox: Sandbox, text: str) -> None:
    with sandbox.app_database.app.app_context():
        db.session.add(Note(text=text))
        db.session.commit()


def notes(sandbox: Sandbox) -> list[str]:
    with sandbox.app_database.app.app_context():
        return list(db.session.scalars(sa.select(Note.text)))


def connect(url: URL) -> psycopg.Connection[Any]:
    return psycopg.connect(**connect_parameters(url))


MakeSandbox = Callable[..., Sandbox]
