"""Tests that do not come to their end: the next one finds a clean database and a pool."""

from __future__ import annotations

import pytest

from tests.support.projects import Project

UNFINISHED = """
    import pytest
    from models import db, add, titles

    @pytest.fixture
    def half_made(app):
        add("by a fixture")
        raise RuntimeError("in the middle")

    def test_error_in_set_up(half_made):
        pass

    @pytest.fixture
    def badly_left(app):
        yield
        add("by a tear-down")
        raise RuntimeError("in the tear-down")

    def test_error_in_tear_down(badly_left):
        assert titles() == []

    def test_skip(app):
        add("before the skip")
        pytest.skip("no more")

    @pytest.mark.xfail(strict=True)
    def test_failure(app):
        add("before the failure")
        db.session.execute(db.text("SELECT * FROM nowhere"))

    def test_connections_left_open(app):
        for _ in range(5):
            connection = db.engine.connect()
            assert connection.scalar(db.text("SELECT count(*) FROM book")) == 0
            connection.close()

    def test_interrupt(app):
        assert titles() == []
        add("before Ctrl-C")
        raise KeyboardInterrupt
"""

AFTERWARDS = """
    from models import titles

    def test_clean(app):
        assert titles() == []
"""


@pytest.mark.parametrize("mode", ["commit", "rollback"])
def test_error_skip_failure_and_interrupt_leave_nothing(project: Project, mode: str) -> None:
    chosen = ("--reuse-db", f"--testbed-isolation={mode}")
    project.write(test_unfinished=UNFINISHED, test_afterwards=AFTERWARDS)

    interrupted = project.pytest("test_unfinished.py", *chosen)
    assert interrupted.status == 2, interrupted.text
    counts = interrupted.counts()
    assert counts == {"error": 2, "passed": 2, "skipped": 1, "xfailed": 1}, interrupted.text

    # The same database again.
    assert project.pytest("test_afterwards.py", *chosen).counts() == {"passed": 1}


test_error_skip_failure_and_interrupt_leave_nothing.row = 36  # type: ignore[attr-defined]
