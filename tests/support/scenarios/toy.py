"""The application that the scenarios are played with."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from flask import Flask, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import URL
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class Team(db.Model):
    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class Member(db.Model):
    """Refers to a team that may come later in the same transaction."""

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    team_id: Mapped[int] = mapped_column(
        sa.ForeignKey("team.id", deferrable=True, initially="DEFERRED")
    )


class Seat(db.Model):
    """Has a key that is checked at once, unless a transaction wants it otherwise."""

    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    number: Mapped[int] = mapped_column()
    team_id: Mapped[int | None] = mapped_column(sa.ForeignKey("team.id"))
    __table_args__ = (
        sa.UniqueConstraint("number", name="seat_number", deferrable=True, initially="IMMEDIATE"),
    )


class Country(db.Model):
    """Has rows from the start, as a migration would put them there."""

    id: Mapped[int] = mapped_column(sa.Identity(always=True), primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)


@sa.event.listens_for(Country.__table__, "after_create")
def _fill(table: sa.Table, connection: sa.Connection, **_: Any) -> None:
    connection.execute(table.insert(), [{"code": "at"}, {"code": "fr"}, {"code": "jp"}])


for statement in (
    "CREATE TYPE mood AS ENUM ('good')",
    "CREATE SEQUENCE ticket CACHE 10",
    "CREATE SEQUENCE plain_ticket",
    """CREATE PROCEDURE found(name text) LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO team (name) VALUES (name); COMMIT; END $$""",
    """CREATE PROCEDURE add_team(name text) LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO team (name) VALUES (name); END $$""",
    """CREATE FUNCTION add_if_new(name text) RETURNS boolean LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO team (name) VALUES (name); RETURN true;
    EXCEPTION WHEN unique_violation THEN RETURN false; END $$""",
):
    sa.event.listen(db.metadata, "after_create", sa.DDL(statement))


def make_app(url: URL | str, instance: str, **config: Any) -> Flask:
    """An application on a database, without any testbed."""
    app = Flask("toy", instance_path=instance)
    app.config.update(config)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    db.init_app(app)
    app.add_url_rule("/teams", view_func=_list)
    app.add_url_rule("/teams/<name>", view_func=_add, methods=["POST"])
    app.add_url_rule("/broken/<name>", view_func=_break, methods=["POST"])
    return app


def _list() -> list[str]:
    return list(db.session.scalars(sa.select(Team.name).order_by(Team.name)))


def _add(name: str) -> dict[str, Any]:
    db.session.add(Team(name=name))
    db.session.commit()
    return {"added": name, "by": request.method}


def _break(name: str) -> str:
    db.session.add(Team(name=name))
    db.session.flush()
    return str(1 // 0)
