"""Databases of failed tests, kept for somebody to look at."""

from __future__ import annotations

import re

import pytest

from tests.support.processes import Outcome
from tests.support.projects import Project
from tests.support.servers import Stock

TESTS = """
    import pytest
    from models import Book, add, db, titles

    @pytest.fixture
    def tidy(app):
        yield
        db.session.rollback()
        db.session.execute(db.delete(Book))
        db.session.commit()

    def test_passes(app):
        add("passed")

    def test_fails(app, tidy):
        add("committed")
        db.session.add(Book(title="flushed"))
        db.session.flush()
        assert False

    def test_after(app):
        assert titles() == []
        add("after")
        assert db.session.scalars(db.select(Book.id)).all() == [1] or MODE == "rollback"

    def test_fails_too(app):
        add("second")
        with pytest.raises(Exception):
            db.session.execute(db.text("SELECT 1/0"))
        assert False

    def test_fails_without_database():
        assert False
"""


@pytest.fixture
def kept(project: Project, environment: pytest.MonkeyPatch, stock: Stock) -> Project:
    environment.setenv("TEST_DATABASE_URL", stock.url("toy_test"))
    return project


def write(project: Project, mode: str) -> None:
    project.write(test_it=TESTS.replace("MODE", repr(mode)))


def copies(outcome: Outcome) -> dict[str, str]:
    """The names of the databases that were kept, by test."""
    lines = re.findall(r"Test database kept: \S+/(\w+) \(\S+::(\w+)\)", outcome.out)
    return {test: name for name, test in lines}


@pytest.mark.parametrize(
    ("mode", "seen"), [("commit", ["committed"]), ("rollback", ["committed", "flushed"])]
)
@pytest.mark.parametrize("role", ["boss", "maker"])
def test_each_failed_test_leaves_a_copy_as_it_was(
    kept: Project,
    stock: Stock,
    mode: str,
    seen: list[str],
    role: str,
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("TEST_DATABASE_URL", stock.url("toy_test", role))
    write(kept, mode)
    outcome = kept.pytest("--keep-failed-db", f"--testbed-isolation={mode}")
    assert outcome.counts() == {"passed": 2, "failed": 3}
    found = copies(outcome)
    assert sorted(found) == ["test_fails", "test_fails_too"]
    query = "SELECT title FROM book ORDER BY title"
    assert stock.rows(query, found["test_fails"]) == seen
    assert stock.rows(query, found["test_fails_too"]) == ["second"]
    assert stock.rows("SELECT nextval('book_id_seq')", found["test_fails_too"]) > [1]
    assert f"The test's database as it was: postgresql://{role}@" in outcome.out
    assert {name for name in stock.databases() if name.startswith("toy_test")} == {*found.values()}


def test_the_next_run_takes_the_places_of_the_copies(kept: Project, stock: Stock) -> None:
    write(kept, "commit")
    first = copies(kept.pytest("--keep-failed-db"))
    assert copies(kept.pytest("--keep-failed-db")) == first
    assert len([name for name in stock.databases() if name.startswith("toy")]) == 2


def test_nothing_is_kept_unless_it_is_asked_for(kept: Project, stock: Stock) -> None:
    write(kept, "commit")
    outcome = kept.pytest()
    assert copies(outcome) == {}
    assert [name for name in stock.databases() if name.startswith("toy")] == []


def test_a_changed_schema_is_said_to_be_the_reason(kept: Project) -> None:
    kept.write(
        test_it="""
            from models import db

            def test_it(app):
                db.session.execute(db.text("ALTER TABLE book RENAME TO page"))
                db.session.commit()
                assert False
        """
    )
    outcome = kept.pytest("--keep-failed-db")
    assert outcome.counts() == {"failed": 1}
    assert "is not kept: The rows cannot be copied" in outcome.out
    assert "Has the test changed the schema?" in outcome.out


def test_workers_keep_copies_too(kept: Project, stock: Stock) -> None:
    write(kept, "commit")
    outcome = kept.pytest("--keep-failed-db", "-p", "xdist", "-n", "2")
    assert set(copies(outcome).values()) <= set(stock.databases())
    assert sorted(copies(outcome)) == ["test_fails", "test_fails_too"]
