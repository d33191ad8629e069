"""The choice between the two ways to isolate a test."""

from __future__ import annotations

import pytest

from tests.support.projects import Project

# In rollback mode now() stands still: that tells which mode a test is in.
TESTS = """
    import pytest
    from models import db, add, titles

    def mode():
        moments = []
        for title in ("a", "b"):
            moments.append(db.session.scalar(db.text("SELECT now()")))
            add(title)
            assert title in titles()
            db.session.rollback()
        return "rollback" if moments[0] == moments[1] else "commit"

    def test_default(app):
        assert mode() == EXPECTED

    @pytest.mark.isolation("rollback")
    def test_marked_rollback(app):
        assert titles() == []
        assert mode() == "rollback"

    @pytest.mark.isolation("commit")
    def test_marked_commit(app):
        assert titles() == []
        assert mode() == "commit"

    def first_key():
        add("a")
        return db.session.scalar(db.text("SELECT min(id) FROM book"))

    # What a rollback has moved stays moved until somebody minds.
    @pytest.mark.isolation("rollback")
    def test_moves(app):
        first_key()

    @pytest.mark.isolation("rollback", reset_sequences=True)
    @pytest.mark.parametrize("n", range(2))
    def test_keys(app, n):
        assert first_key() == 1

    @pytest.mark.isolation("rollback")
    def test_moves_again(app):
        first_key()

    @pytest.mark.isolation("commit")
    def test_keys_with_commits(app):
        assert first_key() == 1
"""


def write(project: Project, expected: str, name: str = "test_it") -> None:
    project.write(**{name: TESTS.replace("EXPECTED", repr(expected))})


def ini(project: Project, *lines: str) -> None:
    path = project.root / "pytest.ini"
    path.write_text(path.read_text() + "\n".join(lines) + "\n")


def test_a_test_is_isolated_by_commits_unless_something_is_said(project: Project) -> None:
    write(project, "commit")
    assert project.pytest().counts() == {"passed": 8}


def test_the_ini_file_chooses(project: Project) -> None:
    write(project, "rollback")
    ini(project, "testbed_isolation = rollback")
    assert project.pytest().counts() == {"passed": 8}


def test_the_command_line_chooses_rather_than_the_ini_file(project: Project) -> None:
    write(project, "commit")
    ini(project, "testbed_isolation = rollback")
    assert project.pytest("--testbed-isolation=commit").counts() == {"passed": 8}


def test_the_innermost_folder_chooses(project: Project) -> None:
    for folder, expected in (("fast", "rollback"), ("fast/slow", "commit")):
        (project.root / folder).mkdir()
        source = TESTS.replace("EXPECTED", repr(expected))
        project.write(**{f"{folder}/test_{expected}": source})
    write(project, "commit")
    lines = ["testbed_isolation =", "    fast = rollback", "    fast/slow = commit"]
    ini(project, *lines)
    assert project.pytest().counts() == {"passed": 24}


@pytest.mark.parametrize(
    ("line", "says"),
    [("sometimes", "'sometimes' is no way"), ("nowhere = rollback", "no folder or file")],
)
def test_a_wrong_line_is_an_error_that_says_so(project: Project, line: str, says: str) -> None:
    write(project, "commit")
    ini(project, f"testbed_isolation = {line}")
    project.pytest().assert_says(says, status=4)


@pytest.mark.parametrize("arguments", ["", "'sometimes'", "'commit', 1", "'commit', sequences=1"])
def test_a_wrong_marker_is_an_error_of_its_test(project: Project, arguments: str) -> None:
    project.write(
        test_it=f"""
            import pytest

            @pytest.mark.isolation({arguments})
            def test_it(app):
                pass

            def test_other(app):
                pass
        """
    )
    outcome = project.pytest()
    assert outcome.counts() == {"passed": 1, "error": 1}
    assert "isolation" in outcome.text or "positional" in outcome.text


def test_a_failure_in_rollback_mode_says_so(project: Project) -> None:
    project.write(
        test_it="""
            import pytest

            @pytest.mark.isolation("rollback")
            def test_it(app):
                assert False
        """
    )
    assert "--testbed-isolation=commit" in project.pytest().text


def test_what_a_test_cannot_do_is_an_error_that_names_the_way_out(project: Project) -> None:
    project.write(
        test_it="""
            from models import db

            def test_it(app):
                db.session.execute(db.text("COMMIT"))
        """
    )
    outcome = project.pytest("--testbed-isolation=rollback")
    assert outcome.counts() == {"failed": 1}
    assert "IsolationError" in outcome.text
    assert '@pytest.mark.isolation("commit")' in outcome.text


def test_parallel_workers_choose_alike(project: Project) -> None:
    write(project, "rollback")
    outcome = project.pytest("-p", "xdist", "-n", "2", "--testbed-isolation=rollback")
    assert outcome.counts() == {"passed": 8}
