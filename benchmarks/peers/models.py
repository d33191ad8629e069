"""The application whose tests are isolated: as many tables as one likes, all alike."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, Identity, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_testbed import development_url

INSTANCE = Path(__file__).resolve().parents[2] / "instance"


class Base(DeclarativeBase):
    """The base of the models."""


db = SQLAlchemy(model_class=Base)


class Shelf(db.Model):  # type: ignore[name-defined, misc]
    """The table that the test uses."""

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    made: Mapped[datetime] = mapped_column(server_default=func.now())


def add_tables(count: int) -> None:
    """Have that many tables: each has an identity key, a unique name, and refers to another."""
    for number in range(1, count):
        parent = "shelf" if number < 3 else f"shelf_{number // 2}"
        members: dict[str, Any] = {
            "__tablename__": f"shelf_{number}",
            "__annotations__": {
                "id": Mapped[int],
                "name": Mapped[str],
                "made": Mapped[datetime],
                "parent_id": Mapped[int],
            },
            "id": mapped_column(Identity(), primary_key=True),
            "name": mapped_column(unique=True),
            "made": mapped_column(server_default=func.now()),
            "parent_id": mapped_column(ForeignKey(f"{parent}.id"), index=True),
        }
        type(f"Shelf{number}", (db.Model,), members)


def make_app() -> Flask:
    """An application with these models, and a test database on the embedded server."""
    app = Flask("benchmark", instance_path=str(INSTANCE))
    app.config["SQLALCHEMY_DATABASE_URI"] = development_url(INSTANCE, "benchmark")
    db.init_app(app)
    return app
