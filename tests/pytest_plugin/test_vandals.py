"""Tests that do their worst, and the next one, which finds everything in order."""

from __future__ import annotations

import pytest

from tests.support.projects import Project

TESTS = """
    import os
    import threading
    import pytest
    from models import Book, add, db, titles

    stop = threading.Event()

    def sleep_in_a_transaction(app):
        begun = threading.Event()

        def forget():
            with app.app_context():
                try:
                    db.session.add(Book(title="asleep"))
                    db.session.flush()
                    begun.set()
                    stop.wait()
                    db.session.rollback()
                except Exception:
                    begun.set()

        threading.Thread(target=forget, daemon=True).start()
        assert begun.wait(300)

    def drop_a_table(app):
        db.session.execute(db.text("DROP TABLE book"))
        db.session.commit()

    def send_commit_as_text(app):
        db.session.add(Book(title="text"))
        db.session.flush()
        db.session.execute(db.text("COMMIT"))

    def fork(app):
        add("parent")
        child = os.fork()
        if not child:
            status = 1
            try:
                db.engine.dispose(close=False)
                titles()
                status = 0
            finally:
                os._exit(status)
        os.waitpid(child, 0)
        assert titles() == ["parent"]

    def kill_its_backend(app):
        add("before")
        with pytest.raises(Exception):
            db.session.execute(db.text("SELECT pg_terminate_backend(pg_backend_pid())"))

    def test_vandal(app):
        VANDAL(app)

    def test_next(app):
        stop.set()
        assert titles() == []
        add("a")
        add("b")
        assert titles() == ["a", "b"]

    def test_the_one_after(app):
        assert titles() == []
"""


@pytest.mark.parametrize("mode", ["commit", "rollback"])
@pytest.mark.parametrize(
    "vandal",
    [
        "sleep_in_a_transaction",
        "drop_a_table",
        "send_commit_as_text",
        "fork",
        "kill_its_backend",
    ],
)
def test_the_next_test_finds_everything_in_order(project: Project, vandal: str, mode: str) -> None:
    project.write(test_it=TESTS.replace("VANDAL", vandal))
    outcome = project.pytest(f"--testbed-isolation={mode}", "-p", "no:randomly")
    tests = outcome.counts()
    assert tests["passed"] + tests.get("failed", 0) == 3, outcome.text
    assert "test_it.py::test_next" not in outcome.out
    assert "test_it.py::test_the_one_after" not in outcome.out
    # What a rollback cannot undo is an error of the test that does it; in a thread, of its end.
    refused = mode == "rollback" and vandal in {"send_commit_as_text"}
    assert tests.get("failed", 0) == refused
    # Who leaves something open is told so.
    assert tests.get("error", 0) == (vandal == "sleep_in_a_transaction")
