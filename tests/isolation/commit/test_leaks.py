"""The check at the end of a run that every table is as it was at the start."""

from __future__ import annotations

import pytest

from tests.support.projects import Project

# What another process commits is not undone by a rollback.
TESTS = """
    import subprocess, sys
    import pytest
    from models import db, titles

    SCRIPT = '''
    import sys, psycopg
    with psycopg.connect(sys.argv[1]) as connection:
        connection.execute(sys.argv[2])
    '''

    def elsewhere(statement):
        url = db.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        import textwrap
        subprocess.run([sys.executable, "-c", textwrap.dedent(SCRIPT), url, statement], check=True)

    def test_before(app):
        assert titles() == []

    def test_guilty(app):
        titles()
        elsewhere(STATEMENT)

    def test_after(app):
        titles()
"""


def write(project: Project, statement: str) -> None:
    project.write(test_it=TESTS.replace("STATEMENT", repr(statement)))


INSERT = "INSERT INTO book (title) VALUES ('left')"


@pytest.mark.parametrize("workers", [[], ["-p", "xdist", "-n", "1"]], ids=["alone", "xdist"])
def test_a_row_that_was_left_fails_the_run_and_names_the_test(
    project: Project, workers: list[str]
) -> None:
    write(project, INSERT)
    outcome = project.pytest("--testbed-isolation=rollback", *workers)
    assert outcome.counts() == {"passed": 3}
    outcome.assert_says(
        "Leaked: public.book is not as it was at the start: 1 rows too many, 0 missing",
        "written during test_it.py::test_guilty",
    )


def test_in_commit_mode_it_is_put_back(project: Project) -> None:
    write(project, INSERT)
    outcome = project.pytest()
    assert outcome.status == 0, outcome.text
    assert "Leaked" not in outcome.text


ROWS = """
    from sqlalchemy import event
    from models import Book

    @event.listens_for(Book.__table__, "after_create")
    def fill(table, connection, **_):
        connection.execute(table.insert(), [{"title": "one"}, {"title": "two"}])
"""


@pytest.mark.parametrize(
    ("statement", "strange", "missing"),
    [
        ("UPDATE book SET title = 'three' WHERE title = 'two'", 1, 1),
        ("DELETE FROM book", 0, 2),
        ("INSERT INTO book (title) VALUES ('one')", 1, 0),
    ],
)
def test_rows_that_were_there_from_the_start(
    project: Project, statement: str, strange: int, missing: int
) -> None:
    write(project, statement)
    with (project.root / "models.py").open("a") as models:
        models.write("\n".join(line[4:] for line in ROWS.splitlines()))
    tests = (project.root / "test_it.py").read_text()
    (project.root / "test_it.py").write_text(tests.replace("== []", '== ["one", "two"]'))
    outcome = project.pytest("--testbed-isolation=rollback")
    outcome.assert_says(f"{strange} rows too many, {missing} missing")


def test_tests_that_leave_nothing_are_not_accused(project: Project) -> None:
    write(project, "SELECT 1")
    for mode in ("commit", "rollback"):
        outcome = project.pytest(f"--testbed-isolation={mode}")
        assert outcome.status == 0, outcome.text
        assert "Leaked" not in outcome.text
