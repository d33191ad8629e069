"""The pytest plugin, from outside: projects of somebody else's, run by processes of their own."""

from __future__ import annotations

import os
import signal
import textwrap
from pathlib import Path

import pytest

from tests.support.processes import finish
from tests.support.projects import Project
from tests.support.servers import Stock
from tests.support.waiting import wait_for

#: A test that commits, and one that would see it.
ISOLATED = """
    from models import add, titles

    def test_one(app):
        assert titles() == []
        add("one")
        assert titles() == ["one"]

    def test_two(app):
        assert titles() == []
        add("two")
"""

#: Says where a signal may hit: the file appears in the middle of a test.
SLOW = """
    import pathlib, time
    from models import add

    def test_slow(app):
        add("x")
        pathlib.Path("in-the-middle").touch()
        time.sleep(3600)
"""


def in_the_middle(project: Project) -> None:
    """Wait until the slow test is at its slow place."""
    file = project.root / "in-the-middle"
    wait_for(file.exists, "the run to come to its test")
    file.unlink()


def test_tests_are_isolated_with_no_fixture_but_app(project: Project, stock: Stock) -> None:
    """Also a client's requests, a thread, and an engine that was captured at import."""
    project.write(
        toyglobal="""
            from toyapp import create_app
            app = create_app()
            with app.app_context():
                from models import db
                engine = db.engine
        """,
        conftest="""
            import pytest
            from toyglobal import app as the_app

            @pytest.fixture(scope="session")
            def app():
                return the_app
        """,
        test_it=textwrap.dedent(ISOLATED)
        + textwrap.dedent("""
            import threading
            from sqlalchemy import text
            from models import db
            from toyglobal import engine

            def test_client(client):
                assert titles() == []
                client.post("/books/posted")
                assert titles() == ["posted"]

            def test_thread(app):
                assert titles() == []
                def write():
                    with app.app_context():
                        add("threaded")
                thread = threading.Thread(target=write)
                thread.start()
                thread.join()
                assert titles() == ["threaded"]

            def test_captured_engine():
                with engine.begin() as connection:
                    found = connection.execute(text("SELECT title FROM book")).all()
                    connection.execute(text("INSERT INTO book (title) VALUES ('captured')"))
                assert found == []
                assert engine.url.database == "own_test"

            def test_last(app):
                assert titles() == []
        """),
    )
    own = stock.create("own")
    sessions = own.sessions()

    outcome = project.pytest(DATABASE_URL=stock.url("own"))

    assert outcome.counts() == {"passed": 6}, outcome.text
    assert own.sessions() <= sessions + 1  # that of sessions() itself is none of this database
    own.assert_untouched()


def test_a_run_that_connects_to_nothing_makes_nothing(project: Project) -> None:
    project.write(test_it="def test_it(app):\n    assert app.name == 'toy'\n")
    home = project.root / "home"

    outcome = project.pytest(
        FLASK_TESTBED_HOME=str(home), DATABASE_URL="postgresql://ada@127.0.0.1:1/own"
    )
    embedded = project.pytest(FLASK_TESTBED_HOME=str(home))

    assert outcome.counts() == embedded.counts() == {"passed": 1}, outcome.text + embedded.text
    assert not home.exists()


def test_two_runs_at_once_take_different_names(project: Project, stock: Stock) -> None:
    project.write(test_slow=SLOW, test_it=ISOLATED)
    before = stock.databases()
    environment = {"DATABASE_URL": stock.url("own")}

    first = project.start("-m", "pytest", "test_slow.py", **environment)
    in_the_middle(project)
    second = project.pytest("test_it.py", **environment)
    during = stock.databases()
    interrupted = finish(first, signal.SIGINT)

    assert second.counts() == {"passed": 2}, second.text
    assert "own_test" in during
    assert "own_test_2" not in during
    # Ctrl-C leaves the server as it was.
    assert interrupted.status == 2, interrupted.text
    assert "KeyboardInterrupt" in interrupted.out
    assert stock.databases() == before


def test_the_next_run_mends_what_a_killed_one_left(project: Project, stock: Stock) -> None:
    project.write(test_slow=SLOW, test_it=ISOLATED)
    before = stock.databases()
    environment = {"DATABASE_URL": stock.url("own")}

    killed = project.start("-m", "pytest", "test_slow.py", **environment)
    in_the_middle(project)
    killed.kill()
    finish(killed)
    left = stock.databases()
    # The server notices by and by that its client is gone, and gives back the lock.
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    wait_for(lambda: stock.rows(held) == [0], "the locks of a killed run to be free")
    outcome = project.pytest("test_it.py", **environment)

    assert "own_test" in left
    assert outcome.counts() == {"passed": 2}, outcome.text
    assert stock.databases() == before


def test_workers_have_a_database_each(project: Project, stock: Stock) -> None:
    project.write(
        test_it="""
            import pytest
            from models import add, db, titles

            @pytest.mark.parametrize("n", range(8))
            def test_it(app, n, worker_id):
                assert titles() == []
                add(str(n))
                assert db.engine.url.database == f"own_test_{worker_id}"
        """
    )
    before = stock.databases()

    outcome = project.pytest("-n2", DATABASE_URL=stock.url("own", "maker"))

    assert outcome.counts() == {"passed": 8}, outcome.text
    assert stock.databases() == before


def test_it_works_without_pytest_flask(project: Project, stock: Stock) -> None:
    project.write(test_it=ISOLATED)

    outcome = project.pytest("-p", "no:flask", DATABASE_URL=stock.url("own"))

    assert outcome.counts() == {"passed": 2}, outcome.text


def test_requests_are_isolated_where_there_is_no_database(project: Project) -> None:
    """The context that a test has is the plugin's doing, whatever the application stores."""
    project.write(
        conftest="""
            import pytest
            from flask import Flask, g

            @pytest.fixture
            def app():
                app = Flask("other")

                @app.get("/")
                def count():
                    g.count = g.get("count", 0) + 1
                    return str(g.count)

                return app
        """,
        test_it="""
            from flask import current_app, g

            def test_it(app):
                assert current_app.name == "other"
                g.count = 5
                client = app.test_client()
                assert [client.get("/").text, client.get("/").text] == ["1", "1"]
        """,
    )
    outcome = project.pytest("-p", "no:flask")
    assert outcome.counts() == {"passed": 1}, outcome.text


def test_a_database_may_be_kept_and_reused(project: Project, stock: Stock) -> None:
    oid = "SELECT oid FROM pg_database WHERE datname = 'own_test'"
    environment = {"DATABASE_URL": stock.url("own")}
    project.write(test_it=ISOLATED)
    before = stock.databases()

    def run(*arguments: str) -> list[int]:
        outcome = project.pytest(*arguments, **environment)
        assert outcome.counts() == {"passed": 2}, outcome.text
        return stock.rows(oid)

    kept = run("--keep-db")
    left = stock.rows("SELECT title FROM book", "own_test")
    replaced = run("--reuse-db")
    stock.rows("INSERT INTO book (title) VALUES ('by hand')", "own_test")
    reused = run("--reuse-db")
    anew = run("--reuse-db", "--create-db")

    assert kept
    assert left == []
    assert replaced
    assert replaced == reused
    assert anew
    assert anew != reused
    assert [name for name in stock.databases() if name not in before] == ["own_test"]


def test_an_application_for_each_test(project: Project, stock: Stock) -> None:
    project.write(
        conftest="""
            import pytest
            from toyapp import create_app

            @pytest.fixture
            def app():
                return create_app()
        """,
        test_it=textwrap.dedent(ISOLATED)
        + textwrap.dedent("""
            from toyapp import create_app

            def test_two_applications(app):
                other = create_app()
                add("by the first")
                with other.app_context():
                    assert titles() == ["by the first"]
                    add("by the second")
                assert titles() == ["by the first", "by the second"]

            def test_after_them(app):
                assert titles() == []
        """),
    )

    outcome = project.pytest(DATABASE_URL=stock.url("own"))

    assert outcome.counts() == {"passed": 4}, outcome.text


def test_an_error_and_a_skip_leave_the_database_clean(project: Project, stock: Stock) -> None:
    project.write(
        test_it="""
            import pytest
            from models import add, db, titles

            @pytest.fixture
            def broken(app):
                add("set up")
                raise RuntimeError("in set-up")

            @pytest.fixture
            def broken_later(app):
                yield
                add("torn down")
                raise RuntimeError("in teardown")

            def test_error(broken):
                pass

            def test_after_error(app):
                assert titles() == []

            def test_skip(app):
                add("skipped")
                pytest.skip("after all")

            def test_after_skip(app):
                assert titles() == []

            def test_teardown(broken_later):
                pass

            def test_after_teardown(app):
                assert titles() == []

            def test_fails(app):
                add("failed")
                assert not titles()

            def test_aborts(app):
                add("aborted")
                with pytest.raises(Exception):
                    db.session.execute(db.text("nonsense"))

            def test_last(app):
                assert titles() == []
        """
    )
    before = stock.databases()

    outcome = project.pytest(DATABASE_URL=stock.url("own"))

    expected = {"passed": 6, "failed": 1, "error": 2, "skipped": 1}
    assert outcome.counts() == expected, outcome.text
    assert stock.databases() == before


def test_a_failure_says_how_to_have_the_same_data(project: Project) -> None:
    project.write(test_it="import flask_testbed.randomness\n\ndef test_it():\n    assert False\n")

    outcome = project.pytest("--testbed-seed=7")

    assert "The same data again: pytest --testbed-seed=7 'test_it.py::test_it'" in outcome.out


def test_the_options_are_explained(project: Project) -> None:
    outcome = project.pytest("--help")

    assert outcome.status == 0
    for option in ("--reuse-db", "--create-db", "--keep-db", "--testbed-seed"):
        assert option in outcome.out


def test_flask_sqlalchemy_is_as_it_was_afterwards(project: Project) -> None:
    project.write(
        run="""
            import sys, pytest
            from flask_sqlalchemy import SQLAlchemy
            before = SQLAlchemy.init_app
            status = pytest.main(["-q", "-p", "no:cacheprovider", "test_it.py"])
            sys.exit(0 if status == 0 and SQLAlchemy.init_app is before else 3)
        """,
        test_it="""
            from flask_sqlalchemy import SQLAlchemy

            def test_it():
                assert SQLAlchemy.init_app.__name__ == "init_and_adopt"
        """,
    )
    (project.root / "pytest.ini").write_text("[pytest]\n")

    outcome = project.run("run.py")

    assert outcome.status == 0, outcome.text


def test_the_applications_own_embedded_server_is_not_started(
    project: Project, environment: pytest.MonkeyPatch
) -> None:
    environment.delenv("TOY_INSTANCE")  # a folder that no other project has
    project.write(test_it=ISOLATED)
    home = Path(os.environ["FLASK_TESTBED_HOME"])
    before = set(home.glob("*"))

    outcome = project.pytest()

    assert outcome.counts() == {"passed": 2}, outcome.text
    made = set(home.glob("*")) - before
    assert len(made) == 1, "one cluster: that of the tests"


def test_applications_that_tests_make_anew_share_a_database(project: Project) -> None:
    project.write(
        conftest="",
        test_it="""
            import pytest
            from flask import Flask
            from flask_sqlalchemy import SQLAlchemy
            from flask_testbed import development_url

            seen = set()

            @pytest.fixture
            def app():
                app = Flask("toy")
                app.config["SQLALCHEMY_DATABASE_URI"] = development_url(app.instance_path, "toy")
                return app

            @pytest.mark.parametrize("mode", [
                pytest.param(mode, marks=pytest.mark.isolation(mode))
                for mode in ("commit", "rollback", "commit")])
            @pytest.mark.parametrize("n", range(3))
            @pytest.mark.parametrize("column", ["one", "other"])
            def test_it(app, mode, column, n):
                db = SQLAlchemy()

                class Book(db.Model):
                    id = db.Column(db.Integer, primary_key=True)
                    title = db.Column(column, db.String)

                db.init_app(app)
                with app.app_context():
                    assert db.session.query(Book).count() == 0
                    db.session.add(Book(title="a"))
                    db.session.commit()
                    assert db.session.query(Book).count() == 1
                    seen.add((db.engine.url.database, column))

            def test_seen():
                assert len(seen) == 2
        """,
    )
    outcome = project.pytest()
    assert outcome.counts() == {"passed": 19}


def test_what_makes_the_database_is_no_query_of_the_test(project: Project) -> None:
    project.write(
        test_it="""
            from models import titles

            def test_first(app, assert_queries):
                with assert_queries(1):
                    assert titles() == []
        """,
    )
    assert project.pytest().counts() == {"passed": 1}


def test_a_conftest_that_connects_and_a_wrong_option_leave_nothing(
    stock: Stock, project: Project
) -> None:
    project.write(
        conftest="""
            from toyapp import create_app
            from models import db
            the_app = create_app()
            with the_app.app_context():
                db.create_all()
        """
    )
    before = stock.databases()

    outcome = project.pytest("--nonsense", DATABASE_URL=stock.url("own"))

    assert outcome.status == 4, outcome.text
    assert stock.databases() == before


def test_an_application_without_flask_sqlalchemy_is_left_alone(project: Project) -> None:
    project.write(
        conftest="""
            import flask, pytest

            @pytest.fixture
            def app():
                return flask.Flask("plain")
        """,
        test_it="def test_it(client):\n    assert client.get('/').status_code == 404\n",
    )

    assert project.pytest().counts() == {"passed": 1}
