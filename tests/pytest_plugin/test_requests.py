"""Row 10: a request made while a context is pushed is handled as in production."""

from __future__ import annotations

import decimal
from collections.abc import Iterator
from contextvars import ContextVar

import pytest
import sqlalchemy as sa
from flask import Flask, Response, current_app, g, request, session, stream_with_context, url_for
from flask.globals import app_ctx
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_testbed import development_url
from tests.support.paths import INSTANCE


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)

feature: ContextVar[str] = ContextVar("feature", default="off")


class Note(db.Model):
    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    text: Mapped[str]


@pytest.fixture(scope="module")
def app() -> Flask:
    """In place of the repository's own: the plugin adopts it all the same."""
    app = Flask("notes", instance_path=str(INSTANCE))
    app.config["SQLALCHEMY_DATABASE_URI"] = development_url(INSTANCE, "notes")
    app.config["SECRET_KEY"] = "for tests"
    app.teardown_ends = []  # type: ignore[attr-defined]
    db.init_app(app)

    @app.get("/notes")
    def notes() -> list[str]:
        g.reader = "me"
        session["read"] = True
        return list(db.session.scalars(sa.select(Note.text)))

    @app.post("/notes")
    def add() -> dict[str, int]:
        note = Note(text=request.json["text"])
        db.session.add(note)
        db.session.commit()
        return {"id": note.id}

    @app.get("/context")
    def context() -> dict[str, int]:
        return {"context": id(app_ctx._get_current_object()), "session": id(db.session())}

    @app.get("/stream")
    def stream() -> Response:
        def lines() -> Iterator[str]:
            yield f"feature {feature.get()}\n"
            for text in db.session.scalars(sa.select(Note.text).order_by(Note.id)):
                yield f"{request.path} {text}\n"

        return Response(stream_with_context(lines()))

    @app.get("/variables")
    def variables() -> list[str]:
        seen = feature.get()
        feature.set("set by the request")
        return [seen, str(decimal.Decimal(1) / 3)]

    @app.teardown_appcontext
    def ended(error: BaseException | None) -> None:
        app.teardown_ends.append(id(app_ctx._get_current_object()))

    return app


def test_a_request_does_not_see_what_the_test_has_only_flushed(client, db) -> None:
    db.session.add(Note(text="draft"))
    db.session.flush()
    assert client.get("/notes").json == []


def test_a_request_does_not_commit_the_tests_work(client, db) -> None:
    db.session.add(Note(text="draft"))
    db.session.flush()
    client.post("/notes", json={"text": "posted"})
    db.session.rollback()
    assert db.session.scalars(sa.select(Note.text)).all() == ["posted"]


def test_a_request_has_a_context_and_a_session_of_its_own(client, db) -> None:
    mine = {"context": id(app_ctx._get_current_object()), "session": id(db.session())}
    theirs = client.get("/context").json
    assert theirs["context"] != mine["context"]
    assert theirs["session"] != mine["session"]


def test_a_requests_context_ends_with_it(app, client) -> None:
    before = len(app.teardown_ends)
    context = client.get("/context").json["context"]
    assert app.teardown_ends[before:] == [context]


def test_the_test_keeps_its_session_and_its_objects_after_a_request(client, db) -> None:
    note = Note(text="mine")
    db.session.add(note)
    db.session.commit()
    before = db.session()
    assert client.get("/notes").json == ["mine"]
    assert db.session() is before
    note.text = "changed"
    db.session.commit()
    assert client.get("/notes").json == ["changed"]
    db.session.refresh(note)


def test_the_request_its_session_and_its_g_are_still_there_after_it(client) -> None:
    client.get("/notes?page=2")
    assert request.args["page"] == "2"
    assert session["read"] is True
    assert g.reader == "me"


def test_the_tests_own_g_comes_back(app) -> None:
    g.mine = 1
    with app.test_client() as client:
        client.get("/notes")
        assert "mine" not in g
    assert g.mine == 1
    assert "reader" not in g


def test_a_client_that_preserves_nothing(app, db) -> None:
    client = app.test_client()
    client.post("/notes", json={"text": "posted"})
    assert db.session.scalars(sa.select(Note.text)).all() == ["posted"]


def test_url_for_and_current_app_work_in_a_test(app, client) -> None:
    assert url_for("notes") == "/notes"
    client.get("/notes")
    assert current_app == app


def test_a_stream_is_read_in_its_requests_context(client, db) -> None:
    db.session.add_all([Note(text="one"), Note(text="two")])
    db.session.commit()
    assert client.get("/stream").text == "feature off\n/stream one\n/stream two\n"


def test_a_request_sees_the_variables_of_its_test_and_changes_none(client) -> None:
    token = feature.set("on")
    with decimal.localcontext() as context:
        context.prec = 3
        assert client.get("/variables").json == ["on", "0.333"]
        assert client.get("/variables").json == ["on", "0.333"]
    assert client.get("/stream").text == "feature on\n"
    assert feature.get() == "on"
    feature.reset(token)
