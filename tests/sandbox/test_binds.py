"""Applications with several databases: each has a test database of its own."""

from __future__ import annotations

import pytest

from tests.support.projects import Project
from tests.support.servers import Stock

APP = """
    from flask import Flask
    from flask_sqlalchemy import SQLAlchemy
    from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
    from flask_testbed import development_url

    class Base(DeclarativeBase):
        pass

    db = SQLAlchemy(model_class=Base)

    class Book(db.Model):
        id: Mapped[int] = mapped_column(primary_key=True)

    class Event(db.Model):
        __bind_key__ = "log"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Page(db.Model):
        __bind_key__ = "again"
        id: Mapped[int] = mapped_column(primary_key=True)

    def create_app(main=None, log=None):
        app = Flask("toy")
        main = main or development_url(app.instance_path, "toy")
        log = log or development_url(app.instance_path, "toy_log")
        app.config["SQLALCHEMY_DATABASE_URI"] = main
        app.config["SQLALCHEMY_BINDS"] = {"log": {"url": log}, "again": main}
        db.init_app(app)
        return app
"""

TESTS = """
    import pytest
    from sqlalchemy import inspect, make_url
    from toyapp import Book, Event, Page, db

    def rows():
        return [db.session.query(model).count() for model in (Book, Event, Page)]

    def add():
        db.session.add_all([Book(), Event()])
        db.session.commit()
        return rows()

    @pytest.mark.parametrize("n", range(2))
    @pytest.mark.parametrize("mode", [pytest.param(m, marks=pytest.mark.isolation(m))
                                      for m in ("commit", "rollback")])
    def test_rows(app, mode, n):
        assert rows() == [0, 0, 0]
        assert add() == [1, 1, 0]
        if mode == "commit":
            assert db.session.scalars(db.select(Event.id)).all() == [1]

    def test_places(app):
        names = {key: db.engines[key].url.database for key in (None, "log", "again")}
        for engine in db.engines.values():
            with engine.connect() as connection:
                assert connection.exec_driver_sql("SELECT current_database()").scalar() in (
                    names.values())
        assert all(engine.url.database.startswith("toy") for engine in db.engines.values())
        assert "test" in db.engines["log"].url.database
        assert make_url(app.config["SQLALCHEMY_BINDS"]["log"]["url"]) == db.engines["log"].url
        assert db.engines["log"].url != db.engine.url == db.engines["again"].url
        assert inspect(db.engines["log"]).get_table_names() == ["event"]
        assert set(inspect(db.engine).get_table_names()) >= {"book"}
"""


@pytest.fixture
def bound(project: Project) -> Project:
    project.write(toyapp=APP, test_it=TESTS)
    return project


def test_each_database_is_a_test_database_and_is_put_back(bound: Project) -> None:
    assert bound.pytest().counts() == {"passed": 5}


def test_parallel_workers_have_their_own_of_each(bound: Project) -> None:
    assert bound.pytest("-p", "xdist", "-n", "2").counts() == {"passed": 5}


def test_the_application_s_own_databases_are_not_touched(bound: Project, stock: Stock) -> None:
    victims = [stock.create("toy"), stock.create("toy_log")]
    for victim in victims:
        victim.before = stock.databases()
    bound.write(
        conftest=f"""
            import pytest
            from toyapp import create_app

            @pytest.fixture(scope="session")
            def app():
                def url(name):
                    return "postgresql+psycopg" + name.removeprefix("postgresql")
                return create_app(url({stock.url("toy")!r}), url({stock.url("toy_log")!r}))
        """
    )
    assert bound.pytest().counts() == {"passed": 5}
    for victim in victims:
        victim.assert_untouched()
        assert victim.sessions() <= 4


def test_a_bind_of_another_kind_of_database_is_left_alone(project: Project) -> None:
    project.write(
        test_it="""
            from flask import Flask
            from models import db
            from flask_testbed import development_url

            def test_it():
                app = Flask("toy")
                main = development_url(app.instance_path, "toy")
                app.config["SQLALCHEMY_DATABASE_URI"] = main
                app.config["SQLALCHEMY_BINDS"] = {"cache": "sqlite://"}
                db.init_app(app)
                with app.app_context():
                    for engine in db.engines.values():
                        with engine.connect() as connection:
                            assert connection.execute(db.text("SELECT 1")).scalar() == 1
        """,
    )
    assert project.pytest().counts() == {"passed": 1}


def test_a_bind_does_not_lead_to_the_applications_own(stock: Stock, project: Project) -> None:
    """Until binds are supported: a refusal that says so."""
    toyapp = (project.root / "toyapp.py").read_text()
    project.write(
        toyapp=toyapp.replace(
            "db.init_app(app)",
            "app.config['SQLALCHEMY_BINDS'] = {'other': os.environ['OTHER_URL']}\n    "
            "db.init_app(app)",
        ),
        test_it="""
            from models import db

            def test_it(app):
                with db.engines["other"].connect() as connection:
                    connection.execute(db.text("SELECT 1"))
        """,
    )
    other = stock.create("other")
    stock.create("own")
    sessions = other.sessions()

    project.pytest(
        DATABASE_URL=stock.url("own"),
        OTHER_URL=stock.url("other").replace("postgresql:", "postgresql+psycopg:"),
    )

    # Those of sessions() itself are on another database.
    assert other.sessions() == sessions


def test_a_bind_beside_another_database_is_refused(stock: Stock, project: Project) -> None:
    toyapp = (project.root / "toyapp.py").read_text()
    project.write(
        toyapp=toyapp.replace(
            "db.init_app(app)",
            "app.config['SQLALCHEMY_BINDS'] = {'other': os.environ['OTHER_URL']}\n    "
            "app.config['SQLALCHEMY_DATABASE_URI'] = 'sqlite://'\n    db.init_app(app)",
        ),
        test_it="def test_it(app):\n    pass\n",
    )
    own = stock.create("own")

    outcome = project.pytest(
        OTHER_URL=stock.url("own").replace("postgresql:", "postgresql+psycopg:")
    )

    assert "sqlite" in outcome.text
    assert outcome.status == 1
    own.assert_untouched()
