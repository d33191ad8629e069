"""The databases of whole runs, of one process and of several workers."""

from __future__ import annotations

import psutil

from tests.support.processes import finish
from tests.support.projects import Project
from tests.support.servers import Stock
from tests.support.waiting import wait_for


def test_a_refused_run_leaves_no_template(stock: Stock, project: Project) -> None:
    victim = stock.create("own_test")
    project.write(test_it="from models import add\n\ndef test_it(app):\n    add('x')\n")

    outcome = project.pytest(DATABASE_URL=stock.url("own"))

    outcome.assert_says("was not made by flask-testbed")
    victim.assert_untouched()


CHANGED = "title: Mapped[str]\n    pages: Mapped[int | None]"


def test_a_killed_run_of_workers_is_mended_by_one_without(stock: Stock, project: Project) -> None:
    """And by one of another schema."""
    project.write(
        test_slow="""
            import pathlib, time, pytest
            from models import add

            @pytest.mark.parametrize("n", range(2))
            def test_slow(app, n, worker_id):
                add("x")
                pathlib.Path(f"in-the-middle-{worker_id}").touch()
                time.sleep(3600)
        """,
        test_it="from models import add\n\ndef test_it(app):\n    add('x')\n",
    )
    before = stock.databases()
    environment = {"DATABASE_URL": stock.url("own")}
    killed = project.start("-m", "pytest", "-n2", "test_slow.py", **environment)
    for worker in ("gw0", "gw1"):
        wait_for((project.root / f"in-the-middle-{worker}").exists, "both workers")
    for child in psutil.Process(killed.pid).children(recursive=True):
        child.kill()
    killed.kill()
    finish(killed)
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    wait_for(lambda: stock.rows(held) == [0], "the locks of a killed run to be free")
    models = (project.root / "models.py").read_text().replace("title: Mapped[str]", CHANGED)
    project.write(models=models)

    outcome = project.pytest("test_it.py", **environment)

    assert outcome.counts() == {"passed": 1}, outcome.text
    assert stock.databases() == before


def test_what_one_worker_keeps_another_does_not_drop(stock: Stock, project: Project) -> None:
    project.write(
        test_it="""
            import pytest, time
            from models import add

            @pytest.mark.parametrize("n", range(2))
            def test_it(app, n, worker_id):
                time.sleep(1 if worker_id == "gw1" else 0)
                add("x")
        """
    )

    outcome = project.pytest("-n2", "--keep-db", DATABASE_URL=stock.url("own"))

    kept = [name for name in stock.databases() if name.startswith("own_test")]
    assert outcome.text.count("Test database kept:") == len(kept) == 2

    assert project.pytest(DATABASE_URL=stock.url("own")).counts() == {"passed": 2}


def test_a_pool_of_one_connection_is_enough(stock: Stock, project: Project) -> None:
    """The database is made in the middle of a connect."""
    toyapp = (project.root / "toyapp.py").read_text()
    options = "{'pool_size': 1, 'max_overflow': 0, 'pool_timeout': 2}"
    project.write(
        toyapp=toyapp.replace(
            "db.init_app(app)",
            f"app.config['SQLALCHEMY_ENGINE_OPTIONS'] = {options}\n    db.init_app(app)",
        ),
        test_it="from models import add\n\ndef test_it(app):\n    add('x')\n",
    )

    assert project.pytest(DATABASE_URL=stock.url("own")).counts() == {"passed": 1}


def test_many_applications_do_not_use_up_the_server(stock: Stock, project: Project) -> None:
    project.write(
        conftest="""
            import pytest
            from toyapp import create_app

            @pytest.fixture
            def app():
                return create_app()
        """,
        test_it="""
            import pytest
            from models import titles

            @pytest.mark.parametrize("n", range(110))
            def test_it(app, n):
                assert titles() == []
        """,
    )

    outcome = project.pytest("-q", DATABASE_URL=stock.url("own"))

    assert outcome.counts() == {"passed": 110}, outcome.text[-3000:]


def test_two_different_applications(project: Project, stock: Stock) -> None:
    second = (project.root / "toyapp.py").read_text().replace("models", "models2")
    models = (project.root / "models.py").read_text().replace('"book"', '"scroll"')
    project.write(
        toyapp2=second,
        models2=models,
        test_it="""
            import pytest
            import models, models2, toyapp2

            @pytest.fixture
            def other():
                return toyapp2.create_app()

            def test_both(app, other):
                models.add("book")
                with other.app_context():
                    assert models2.titles() == []
                    models2.add("scroll")
                    assert models2.titles() == ["scroll"]
                assert models.titles() == ["book"]

            def test_both_are_put_back(app, other):
                assert models.titles() == []
                with other.app_context():
                    assert models2.titles() == []
        """,
    )
    before = stock.databases()

    outcome = project.pytest(DATABASE_URL=stock.url("own"))

    assert outcome.counts() == {"passed": 2}, outcome.text
    assert stock.databases() == before


def test_a_connection_that_outlives_a_test_is_put_back_after_each(
    stock: Stock, project: Project
) -> None:
    project.write(
        test_it="""
            import pytest
            from models import db, titles

            @pytest.fixture(scope="module")
            def connection():
                from toyapp import create_app
                app = create_app()
                with app.app_context(), db.engine.connect() as connection:
                    yield connection

            @pytest.mark.parametrize("n", range(3))
            def test_it(connection, n):
                found = connection.execute(db.text("SELECT count(*) FROM book")).scalar()
                connection.execute(db.text("INSERT INTO book (title) VALUES ('x')"))
                connection.commit()
                assert found == 0
        """
    )

    outcome = project.pytest(DATABASE_URL=stock.url("own"))

    assert outcome.counts() == {"passed": 3}, outcome.text


def test_a_reset_that_failed_is_made_up_for(stock: Stock, project: Project) -> None:
    project.write(
        test_it="""
            import psycopg
            from models import add, db, titles

            def test_ends_everybody(app):
                add("x")
                others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                others += " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                db.session.execute(db.text(others))
                db.session.commit()

            def test_first(app):
                add("y")

            def test_ends_everybody_again(app):
                test_ends_everybody(app)

            def test_last(app):
                assert titles() == []
        """
    )

    outcome = project.pytest(DATABASE_URL=stock.url("own"))

    assert outcome.counts() == {"passed": 4}, outcome.text


def test_a_warning_for_one_application_does_not_spare_the_other(
    project: Project, stock: Stock
) -> None:
    second = (project.root / "toyapp.py").read_text().replace("models", "models2")
    models = (project.root / "models.py").read_text().replace('"book"', '"scroll"')
    project.write(
        toyapp2=second,
        models2=models,
        test_it="""
            import models, models2, toyapp2

            OTHER = toyapp2.create_app()

            def test_leaves_a_transaction_open(app):
                models.add("book")
                global forgotten
                with OTHER.app_context():
                    forgotten = models2.db.engine.connect()
                statement = "INSERT INTO scroll (title) VALUES ('x')"
                forgotten.execute(models2.db.text(statement))

            def test_both_are_put_back(app):
                assert models.titles() == []
                with OTHER.app_context():
                    assert models2.titles() == []
                forgotten.invalidate()
                forgotten.close()
        """,
    )

    outcome = project.pytest("-W", "error", DATABASE_URL=stock.url("own"))

    assert outcome.counts() == {"passed": 2, "error": 1}, outcome.text
    assert "A transaction was left open" in outcome.text
