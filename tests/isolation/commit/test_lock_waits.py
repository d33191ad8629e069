"""A test that would wait for itself is told so; one that waits for another thread is not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.orm import Session

from flask_testbed import IsolationError
from flask_testbed.isolation.commit import lock_waits
from flask_testbed.pytest_plugin.requests import isolate_requests
from tests.support.sandboxes import NAMES, sandbox
from tests.support.servers import Stock
from tests.support.toys import Toys
from tests.support.waiting import wait_for

UPDATE = sa.text("UPDATE book SET title = 'by the request'")


@pytest.fixture(params=["boss", "maker"])
def toy(
    stock: Stock, toys: Toys, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Flask]:
    monkeypatch.setattr(lock_waits, "INTERVAL", 0.1)
    toy = toys.app(stock.url(next(NAMES), request.param), TESTING=True)
    db = toy.extensions["sqlalchemy"]

    @toy.post("/")
    def update() -> str:
        db.session.execute(UPDATE)
        db.session.commit()
        return "done"

    isolate_requests(toy)
    with sandbox(toy), toy.app_context():
        db.session.execute(sa.text("INSERT INTO book (title) VALUES ('as it was')"))
        db.session.commit()
        yield toy


def hold(toy: Flask) -> None:
    """Update the row, and commit nothing."""
    toy.extensions["sqlalchemy"].session.execute(sa.text("UPDATE book SET title = 'by the test'"))


def test_a_request_that_waits_for_its_test(toy: Flask) -> None:
    hold(toy)

    with pytest.raises(IsolationError) as caught:
        toy.test_client().post("/")

    says = str(caught.value)
    assert "\"UPDATE book SET title = 'by the request'\" waits for a lock on public.book" in says
    assert "an open transaction of the same thread" in says
    assert "last statement of that was \"UPDATE book SET title = 'by the test'\"." in says
    db = toy.extensions["sqlalchemy"]
    db.session.rollback()
    assert toy.test_client().post("/").text == "done"


def _another_session(toy: Flask) -> None:
    with Session(toy.extensions["sqlalchemy"].engine) as other:
        other.execute(UPDATE)


def _a_key(toy: Flask) -> None:
    insert = sa.text("INSERT INTO book (id, title) VALUES (7, 'x')")
    toy.extensions["sqlalchemy"].session.execute(insert)
    with toy.extensions["sqlalchemy"].engine.begin() as other:
        other.execute(insert)


def _a_table(toy: Flask) -> None:
    with toy.extensions["sqlalchemy"].engine.begin() as other:
        other.execute(sa.text("TRUNCATE book"))


def _the_first_one(toy: Flask) -> None:
    """The connection that waits was checked out before there was another."""
    db = toy.extensions["sqlalchemy"]
    db.session.rollback()
    db.session.execute(sa.text("SELECT 1"))
    with db.engine.connect() as other:
        other.execute(UPDATE)
        db.session.execute(UPDATE)


def _an_unmanaged_engine(toy: Flask) -> None:
    engine = sa.create_engine(toy.config["SQLALCHEMY_DATABASE_URI"])
    try:
        with engine.begin() as other:
            other.execute(UPDATE)
    finally:
        engine.dispose()


Act = Callable[[Flask], None]


@pytest.mark.parametrize(
    "act", [_another_session, _a_key, _a_table, _the_first_one, _an_unmanaged_engine]
)
def test_whatever_waits_for_its_own_thread(toy: Flask, act: Act) -> None:
    hold(toy)
    with pytest.raises(IsolationError, match="The test waits for itself"):
        act(toy)


def _waiting(stock: Stock) -> bool:
    return bool(stock.rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))


def test_a_thread_that_waits_for_another_is_left_alone(toy: Flask, stock: Stock) -> None:
    hold(toy)
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(toy.test_client().post("/").text))
    thread.start()
    wait_for(lambda: _waiting(stock), "the request to wait")
    # Longer than it takes to look who blocks it.
    thread.join(4 * lock_waits.INTERVAL)
    assert thread.is_alive()
    toy.extensions["sqlalchemy"].session.commit()
    thread.join()
    assert answers == ["done"]


def test_a_thread_does_not_wait_for_an_idle_one_for_ever(
    toy: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a test does not end that uses the live server."""
    monkeypatch.setattr(lock_waits, "PATIENCE", 0.3)
    hold(toy)
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            toy.test_client().post("/")
        except IsolationError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert "an open transaction of another thread" in str(errors)


def test_a_timeout_of_the_application_comes_first(toy: Flask) -> None:
    hold(toy)
    with toy.extensions["sqlalchemy"].engine.connect() as other:
        other.execute(sa.text("SET LOCAL lock_timeout = '30ms'"))
        with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
            other.execute(UPDATE)
