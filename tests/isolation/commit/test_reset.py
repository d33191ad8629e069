"""Isolation by real commits: the rows of docs/reference that every mode must pass.

Each test does something to a sandbox, has it put back, and compares the whole database, table by
table, with what it was.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from flask import Flask, request
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from flask_testbed import TestbedWarning, development_url
from flask_testbed.application.databases import database_of
from flask_testbed.application.hooks import Hooks, set_hooks
from flask_testbed.application.target import target_of
from flask_testbed.embedded.server import EmbeddedServer
from flask_testbed.postgres.connecting import connect_parameters
from flask_testbed.sandbox.sandbox import Sandbox
from tests.support.paths import INSTANCE
from tests.support.toys import add_tables
from tests.support.waiting import PATIENCE


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class Team(db.Model):
    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    # A cycle: a team has a leader, who is one of its members.
    leader_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("member.id", use_alter=True, name="fk_team_leader")
    )
    members: Mapped[list[Member]] = relationship(
        back_populates="team", foreign_keys="Member.team_id"
    )


class Member(db.Model):
    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    team_id: Mapped[int] = mapped_column(sa.ForeignKey("team.id", ondelete="RESTRICT"))
    note: Mapped[str] = mapped_column(default="")
    team: Mapped[Team] = relationship(back_populates="members", foreign_keys=team_id)


class Country(db.Model):
    """Has rows from the start, as a migration would put them there."""

    id: Mapped[int] = mapped_column(sa.Identity(always=True), primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    shout: Mapped[str] = mapped_column(sa.Computed("upper(code)", persisted=True))


class City(db.Model):
    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    country_id: Mapped[int] = mapped_column(sa.ForeignKey("country.id"))


@sa.event.listens_for(Country.__table__, "after_create")
def _fill(table: sa.Table, connection: sa.Connection, **_: Any) -> None:
    connection.execute(table.insert(), [{"code": "at"}, {"code": "fr"}, {"code": "jp"}])


def make_app(role: str) -> Flask:
    app = Flask(f"toy_{role}", instance_path=str(INSTANCE))
    server = EmbeddedServer(INSTANCE, "test")
    app.config["SQLALCHEMY_DATABASE_URI"] = development_url(INSTANCE, f"toy_{role}")
    if role == "ordinary":
        url = server.url("toy_ordinary_test").set(username="testbed_ordinary")
        app.config["TEST_DATABASE_URL"] = url
    if role == "many":
        set_hooks(app, Hooks(functions=[add_tables]))
    db.init_app(app)

    @app.post("/teams")
    def post_team() -> dict[str, int]:
        team = Team(name=request.json["name"])
        db.session.add(team)
        db.session.commit()
        return {"id": team.id}

    return app


@pytest.fixture(scope="module", params=["default", "ordinary", "many"])
def sandbox(request: pytest.FixtureRequest, init_app: Callable[..., None]) -> Iterator[Sandbox]:
    """A database of the module's own: with the rights of the run, with few, with many tables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SQLAlchemy, "init_app", init_app)
        if request.param == "ordinary":
            request.getfixturevalue("ordinary")
            patch.delenv("TEST_DATABASE_URL", raising=False)
        app = make_app(request.param)
        database = database_of(app)
        worker = os.environ.get("PYTEST_XDIST_WORKER", "")
        made = Sandbox(database, target_of(database), worker)
    made.redirect(database)
    yield made
    made.close()


@pytest.fixture
def toy(sandbox: Sandbox) -> Iterator[Flask]:
    """The application, and the database as it is at the beginning of a test."""
    yield sandbox.app_database.app
    sandbox.reset()


@pytest.fixture
def engine(toy: Flask) -> Engine:
    with toy.app_context():
        return db.engine


@pytest.fixture
def put_back(sandbox: Sandbox, toy: Flask) -> Callable[[], None]:
    """Has everything put back, and the whole database compared with what it was."""
    before = contents(sandbox.url())

    def compare() -> None:
        sandbox.reset()
        assert contents(sandbox.url()) == before

    return compare


def contents(url: URL) -> dict[str, Any]:
    """Every row, sequence and relation that a database holds outside the system's schemas."""
    with psycopg.connect(autocommit=True, **connect_parameters(url)) as connection:
        names = [
            row[0]
            for row in connection.execute(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
                " WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'flask_testbed')"
                " ORDER BY 1"
            )
        ]
        found: dict[str, Any] = {
            name: sorted(map(repr, connection.execute(f"SELECT * FROM {name}")))  # noqa: S608
            for name in names
        }
        found["sequences"] = connection.execute(
            "SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2"
        ).fetchall()
        found["columns"] = connection.execute(
            "SELECT table_name, column_name, data_type, is_nullable, column_default"
            " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
        ).fetchall()
        found["large objects"] = connection.execute(
            "SELECT oid FROM pg_largeobject_metadata"
        ).fetchall()
    connection.close()
    return found


def names(engine: Engine) -> list[str]:
    """The teams that somebody else sees."""
    with Session(engine) as session:
        return list(session.scalars(sa.select(Team.name).order_by(Team.name)))


def in_thread(function: Callable[[], Any]) -> Any:
    """What a function returns in a thread of its own."""
    result: list[Any] = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    thread.join(PATIENCE)
    return result[0]


# 1


def test_what_a_request_commits_is_seen_by_all_and_gone_afterwards(
    toy: Flask, engine: Engine, put_back: Callable[[], None]
) -> None:
    client: FlaskClient = toy.test_client()
    assert client.post("/teams", json={"name": "red"}).json == {"id": 1}
    with toy.app_context():
        assert db.session.scalar(sa.select(Team.name)) == "red"
    assert in_thread(lambda: names(engine)) == ["red"]
    put_back()
    assert names(engine) == []


# 2


def test_after_an_integrity_error_earlier_commits_survive_and_nothing_leaks(
    toy: Flask, engine: Engine, put_back: Callable[[], None]
) -> None:
    with toy.app_context():
        db.session.add(Team(name="red"))
        db.session.commit()
        db.session.add_all([Team(name="blue"), Team(name="red")])
        with pytest.raises(IntegrityError):
            db.session.commit()
        db.session.rollback()
        assert names(engine) == ["red"]
        db.session.add(Team(name="green"))
        db.session.commit()
    assert names(engine) == ["green", "red"]
    put_back()


# 3


@pytest.mark.parametrize("end", ["remove", "close", "teardown"])
def test_what_was_only_flushed_is_discarded(
    toy: Flask, engine: Engine, put_back: Callable[[], None], end: str
) -> None:
    with toy.app_context():
        db.session.add(Team(name="red"))
        db.session.flush()
        if end != "teardown":
            getattr(db.session, end)()
            assert db.session.scalars(sa.select(Team)).all() == []
    assert names(engine) == []
    put_back()


# 4


def test_a_nested_transaction_loses_only_its_own_part(
    toy: Flask, engine: Engine, put_back: Callable[[], None]
) -> None:
    with toy.app_context():
        db.session.add(Team(name="red"))
        with db.session.begin_nested():
            db.session.add(Team(name="blue"))
        with pytest.raises(IntegrityError), db.session.begin_nested():
            db.session.add(Team(name="red"))
        db.session.commit()
    assert names(engine) == ["blue", "red"]
    put_back()


# 5


def test_a_reader_that_ends_takes_nobodys_commit_with_it(
    toy: Flask, engine: Engine, put_back: Callable[[], None]
) -> None:
    with Session(engine) as reader:
        assert reader.scalars(sa.select(Team)).all() == []
        with Session(engine) as writer:
            writer.add(Team(name="red"))
            writer.commit()
        reader.rollback()
    assert names(engine) == ["red"]
    put_back()


# 9


def test_commit_on_an_aborted_transaction_rolls_back(
    engine: Engine, put_back: Callable[[], None]
) -> None:
    raw = engine.raw_connection()
    cursor = raw.cursor()
    cursor.execute("INSERT INTO team (name) VALUES ('red')")
    with pytest.raises(psycopg.errors.UndefinedTable):
        cursor.execute("SELECT * FROM nowhere")
    raw.commit()
    raw.close()
    assert names(engine) == []
    put_back()


# 11


def test_a_connection_keeps_what_it_commits_and_nothing_else(
    engine: Engine, put_back: Callable[[], None]
) -> None:
    insert = sa.insert(Team)
    with engine.connect() as connection:
        connection.execute(insert.values(name="lost"))
    with engine.connect() as connection:
        connection.execute(insert.values(name="connect"))
        connection.commit()
    with engine.begin() as connection:
        connection.execute(insert.values(name="begin"))
    raw = engine.raw_connection()
    raw.cursor().execute("INSERT INTO team (name) VALUES ('raw')")
    raw.commit()
    raw.close()
    with Session(engine) as session:
        session.add(Team(name="session"))
        session.commit()
    assert names(engine) == ["begin", "connect", "raw", "session"]
    put_back()


def test_create_all_and_inspection_see_the_sandbox_and_the_table_goes(
    toy: Flask, engine: Engine, put_back: Callable[[], None]
) -> None:
    extra = sa.Table("extra", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))
    extra.metadata.create_all(engine)
    assert "extra" in sa.inspect(engine).get_table_names()
    with engine.begin() as connection:
        connection.execute(extra.insert())
    put_back()
    assert "extra" not in sa.inspect(engine).get_table_names()


# 17


def test_an_engine_that_the_application_made_for_its_own_database_leads_here(
    sandbox: Sandbox, engine: Engine, put_back: Callable[[], None]
) -> None:
    captured = sa.create_engine(database_of(sandbox.app_database.app).own_url)
    from_config = sa.create_engine(sandbox.app_database.app.config["SQLALCHEMY_DATABASE_URI"])
    for number, own in enumerate([captured, from_config]):
        with own.begin() as connection:
            connection.execute(sa.insert(Team).values(name=f"own {number}"))
        assert f"own {number}" in names(engine)
        put_back()
        own.dispose()


# What is put back


def test_rows_that_were_there_come_back_exactly(toy: Flask, put_back: Callable[[], None]) -> None:
    with toy.app_context():
        france = db.session.scalars(sa.select(Country).filter_by(code="fr")).one()
        france.code = "xx"
        db.session.add(City(country_id=france.id))
        db.session.execute(sa.delete(Country).where(Country.code == "jp"))
        db.session.add(Country(code="nz"))
        db.session.commit()
    put_back()
    put_back()


def test_an_update_that_changes_nothing_visible_is_still_put_back(
    toy: Flask, engine: Engine, put_back: Callable[[], None]
) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE country SET code = 'zz' WHERE code = 'at'"))
        connection.execute(sa.text("UPDATE country SET code = 'at' WHERE code = 'zz'"))
    put_back()


def test_truncate_cascade_of_rows_that_were_there(
    engine: Engine, put_back: Callable[[], None]
) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("TRUNCATE country RESTART IDENTITY CASCADE"))
    put_back()


def test_foreign_keys_in_a_circle_are_no_obstacle(toy: Flask, put_back: Callable[[], None]) -> None:
    with toy.app_context():
        team = Team(name="red", members=[Member(), Member()])
        db.session.add(team)
        db.session.flush()
        team.leader_id = team.members[0].id
        db.session.commit()
    put_back()


@pytest.mark.parametrize("rows", [1, 20_000])
def test_few_rows_and_many(engine: Engine, put_back: Callable[[], None], rows: int) -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.text("INSERT INTO team (name) SELECT 'team ' || n FROM generate_series(1, :n) n"),
            {"n": rows},
        )
        connection.execute(sa.text("INSERT INTO member (team_id, note) SELECT id, '' FROM team"))
    put_back()


@pytest.mark.parametrize("sandbox", ["many"], indirect=True)
@pytest.mark.parametrize(
    "statements",
    [
        "COPY room_1 (id) FROM PROGRAM 'echo 1'",
        "INSERT INTO shelf VALUES (1)",
        "INSERT INTO shelf_low VALUES (1)",
        "INSERT INTO annex VALUES (1, 'red')",
        "INSERT INTO hatch VALUES (1)",
        "WITH ours AS (INSERT INTO room_1 VALUES (1) RETURNING *) INSERT INTO room_2 TABLE ours",
        "MERGE INTO room_1 r USING (SELECT 1 AS id) s ON r.id = s.id"
        " WHEN NOT MATCHED THEN INSERT VALUES (s.id)",
        "SET LOCAL session_replication_role = replica; INSERT INTO room_1 VALUES (1)",
        "SET LOCAL search_path = pg_temp; INSERT INTO public.room_1 VALUES (1)",
        "INSERT INTO room_1 SELECT * FROM generate_series(1, 20000); DELETE FROM country",
        "SAVEPOINT s; INSERT INTO room_1 VALUES (1); ROLLBACK TO s; INSERT INTO room_2 VALUES (1)",
    ],
)
def test_every_way_to_write_is_noted(
    sandbox: Sandbox, engine: Engine, put_back: Callable[[], None], statements: str
) -> None:
    if statements.startswith("MERGE") and sandbox.database.cluster.version < 150000:
        pytest.skip("PostgreSQL 14 has no MERGE")
    for _ in range(2):
        with engine.begin() as connection:
            connection.execute(sa.text(statements))
        put_back()


def test_what_is_noted_is_forgotten(
    sandbox: Sandbox, engine: Engine, put_back: Callable[[], None]
) -> None:
    with engine.begin() as connection:
        for number in range(300):
            connection.execute(sa.text("INSERT INTO team (name) VALUES (:n)"), {"n": str(number)})
    put_back()
    query = "SELECT count(*) FROM flask_testbed.touched"
    assert sandbox.database.connection().execute(query).fetchone() == (0,)


def test_sequences_start_again(engine: Engine, put_back: Callable[[], None]) -> None:
    for _ in range(2):
        with engine.begin() as connection:
            assert connection.scalar(sa.text("SELECT nextval('team_id_seq')")) == 1
            assert connection.scalar(sa.text("SELECT nextval('country_id_seq')")) == 4
        put_back()


def test_a_reset_logs_what_it_has_reset(
    sandbox: Sandbox,
    engine: Engine,
    put_back: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for statement, changes in [
        ("INSERT INTO team (name) VALUES ('red')", "public.team, public.team_id_seq"),
        ("UPDATE country SET code = 'de' WHERE code = 'at'", "public.country"),
        ("UPDATE team SET name = 'blue'", "no rows"),
    ]:
        with engine.begin() as connection:
            connection.execute(sa.text(statement))
        caplog.clear()
        with caplog.at_level("DEBUG", "flask_testbed.isolation.commit.reset"):
            put_back()

        (said,) = [one.getMessage() for one in caplog.records if one.name.endswith("commit.reset")]
        assert said.startswith(f"reset {sandbox.name}: {changes} (done, ")
        assert said.endswith(" ms)")


def test_large_objects_go(engine: Engine, put_back: Callable[[], None]) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT lo_from_bytea(0, 'x')"))
    put_back()


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE team ADD COLUMN motto text",
        "ALTER TABLE team ALTER COLUMN name DROP NOT NULL",
        "ALTER TABLE team ALTER COLUMN leader_id SET DEFAULT 1",
        "DROP TABLE city",
        "CREATE INDEX ON member (note)",
        "CREATE SCHEMA elsewhere CREATE TABLE t (id int)",
        "CREATE TYPE mood AS ENUM ('good')",
        "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE VIEW teams AS SELECT * FROM team",
        "CREATE TABLE copied AS SELECT * FROM country",
    ],
)
def test_a_changed_schema_comes_back(
    sandbox: Sandbox, engine: Engine, put_back: Callable[[], None], statement: str
) -> None:
    before = identity(sandbox)
    with engine.begin() as connection:
        connection.execute(sa.text(statement))
    put_back()
    assert identity(sandbox) != before, "only a new clone brings every change back"
    assert names(engine) == []


def identity(sandbox: Sandbox) -> int:
    """Which database it is: a clone of the same name is another one."""
    with psycopg.connect(**connect_parameters(sandbox.url())) as connection:
        row = connection.execute(
            "SELECT oid FROM pg_database WHERE datname = current_database()"
        ).fetchone()
    connection.close()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize(
    "statement", ["CREATE TEMPORARY TABLE t (id int)", "CREATE TABLE t (id int)", "ANALYZE team"]
)
def test_what_leaves_no_trace_in_the_schema_costs_no_clone(
    request: pytest.FixtureRequest,
    sandbox: Sandbox,
    engine: Engine,
    put_back: Callable[[], None],
    statement: str,
) -> None:
    before = identity(sandbox)
    with engine.connect() as connection:
        connection.execute(sa.text(statement))
        connection.rollback()
    put_back()
    assert identity(sandbox) == before


def test_a_connection_that_outlives_its_pool_is_closed_when_it_comes_back(
    sandbox: Sandbox, engine: Engine
) -> None:
    held = engine.connect()
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE t (id int)"))
    raw = held.connection.driver_connection
    assert raw is not None
    held.rollback()

    sandbox.reset()

    assert not raw.closed
    held.close()
    assert raw.closed


# What gets in the way


def test_a_transaction_left_open_is_ended_and_named(
    toy: Flask, engine: Engine, put_back: Callable[[], None]
) -> None:
    forgotten = engine.connect()
    forgotten.execute(sa.insert(Team).values(name="forgotten"))
    with pytest.warns(TestbedWarning, match="INSERT INTO team"):
        put_back()
    with pytest.raises(sa.exc.OperationalError):
        forgotten.commit()
    forgotten.invalidate()
    forgotten.close()
    assert names(engine) == []


def test_a_thread_that_ends_in_time_is_left_alone(
    engine: Engine, put_back: Callable[[], None]
) -> None:
    started, errors = threading.Event(), []

    def work() -> None:
        try:
            with engine.begin() as connection:
                connection.execute(sa.insert(Team).values(name="late"))
                started.set()
                connection.execute(sa.text("SELECT pg_sleep(0.05)"))
        except sa.exc.SQLAlchemyError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    started.wait(PATIENCE)
    put_back()
    thread.join(PATIENCE)
    assert errors == []


def test_backends_that_were_killed_are_no_obstacle(
    sandbox: Sandbox, engine: Engine, put_back: Callable[[], None]
) -> None:
    with engine.begin() as connection:
        connection.execute(sa.insert(Team).values(name="red"))
    with psycopg.connect(autocommit=True, **connect_parameters(sandbox.url())) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    connection.close()
    engine.dispose()
    put_back()


# What it costs


def test_nothing_is_done_for_a_test_that_did_not_connect(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.reset()
    monkeypatch.setattr(
        "flask_testbed.sandbox.database.reset", lambda _: pytest.fail("was put back")
    )
    sandbox.reset()
