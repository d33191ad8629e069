"""The application whose tests are isolated: as many tables as one likes, all alike."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from flask import Flask, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey, Identity, func, select
from sqlalchemy.engine import URL
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
    for number in range(len(db.metadata.tables), count):
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


def make_app(url: URL | str = "") -> Flask:
    """An application with these models.

    :param url: its database; else the engine finds one on the embedded server.
    """
    app = Flask("benchmark", instance_path=str(INSTANCE))
    app.config["SQLALCHEMY_DATABASE_URI"] = url or development_url(INSTANCE, "benchmark")
    app.config["TESTING"] = True
    db.init_app(app)
    app.post("/shelves")(put_up)
    app.get("/shelves/<name>")(find)
    return app


def put_up() -> tuple[dict[str, Any], int]:
    """Insert a row, and commit."""
    db.session.add(Shelf(name=request.get_json()["name"]))
    db.session.commit()
    return {}, 201


def find(name: str) -> dict[str, Any]:
    """Select a row."""
    shelf = db.session.scalars(select(Shelf).where(Shelf.name == name)).one()
    return {"name": shelf.name, "made": shelf.made}
