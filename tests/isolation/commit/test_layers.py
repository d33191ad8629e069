"""Layers in one database: rows that outlive tests, whatever the tests do, until their owner goes.

How fixtures come by them is in test_scopes.py.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import Engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_testbed import IsolationError, development_url
from flask_testbed.application.databases import database_of
from flask_testbed.application.hooks import Hooks, set_hooks
from flask_testbed.application.target import target_of
from flask_testbed.embedded.server import EmbeddedServer
from flask_testbed.postgres.connecting import connect_parameters
from flask_testbed.sandbox.names import Keeping
from flask_testbed.sandbox.sandbox import Sandbox
from tests.support.paths import INSTANCE
from tests.support.toys import add_tables


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Team(db.Model):
    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    mood: Mapped[Mood] = mapped_column(server_default="GOOD")
    # A cycle: a team has a leader, who is one of its members.
    leader_id: Mapped[int | None] = mapped_column(
        sa.ForeignKey("member.id", use_alter=True, name="fk_team_leader"), index=True
    )


class Member(db.Model):
    id: Mapped[int] = mapped_column(sa.Identity(always=True), primary_key=True)
    team_id: Mapped[int] = mapped_column(sa.ForeignKey("team.id", ondelete="CASCADE"), index=True)
    note: Mapped[str] = mapped_column(server_default="")
    shout: Mapped[str] = mapped_column(sa.Computed("upper(note)", persisted=True))


class Country(db.Model):
    """Has rows from the start, as a migration would put them there."""

    code: Mapped[str] = mapped_column(primary_key=True)
    # A type without equality.
    facts: Mapped[Any] = mapped_column(sa.JSON)


class Event(db.Model):
    """Has no key that the database knows."""

    __table__ = sa.Table("event", Base.metadata, sa.Column("word", sa.Text))
    __mapper_args__ = {"primary_key": [__table__.c.word]}  # noqa: RUF012


@sa.event.listens_for(Country.__table__, "after_create")
def _fill(table: sa.Table, connection: sa.Connection, **_: Any) -> None:
    connection.execute(table.insert(), [{"code": "at", "facts": {}}, {"code": "fr", "facts": {}}])


def make_app(role: str) -> Flask:
    app = Flask(f"layers_{role}", instance_path=str(INSTANCE))
    app.config["SQLALCHEMY_DATABASE_URI"] = development_url(INSTANCE, f"toy_layers_{role}")
    if role == "ordinary":
        url = EmbeddedServer(INSTANCE, "test").url("toy_layers_ordinary_test")
        app.config["TEST_DATABASE_URL"] = url.set(username="testbed_ordinary")
    if role == "many":
        set_hooks(app, Hooks(functions=[add_tables]))
    db.init_app(app)
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
        made = sandbox_of(app)
    yield made
    made.close()


def sandbox_of(app: Flask, keeping: Keeping = Keeping()) -> Sandbox:  # noqa: B008
    database = database_of(app)
    made = Sandbox(
        database, target_of(database), os.environ.get("PYTEST_XDIST_WORKER", ""), keeping
    )
    made.redirect(database)
    return made


@pytest.fixture
def engine(sandbox: Sandbox) -> Iterator[Engine]:
    """The application's, on a database without layers; checks that it has none afterwards."""
    with sandbox.app_database.app.app_context():
        engine = db.engine
    before = contents(sandbox)
    yield engine
    sandbox.reset()
    assert contents(sandbox) == before


@pytest.fixture
def keep(sandbox: Sandbox, engine: Engine) -> Iterator[Callable[..., str]]:
    """Makes a layer of what some statements do; its name is its owner."""
    owners: list[str] = []

    def lay(owner: str, *statements: str) -> str:
        run(engine, *statements)
        sandbox.keep_layer(owner, f"The fixture {owner!r}")
        owners.append(owner)
        return owner

    yield lay
    for owner in reversed(owners):
        sandbox.drop_layers(owner)


def run(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def contents(sandbox: Sandbox) -> dict[str, Any]:
    """Every row, sequence, column and trigger that the application sees."""
    with psycopg.connect(autocommit=True, **connect_parameters(sandbox.url())) as connection:
        names = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'flask_testbed')"
            " ORDER BY 1"
        ).fetchall()
        found: dict[str, Any] = {
            name: sorted(map(repr, connection.execute(f"SELECT * FROM {name}")))  # noqa: S608
            for (name,) in names
        }
        for what, query in _CATALOGS.items():
            found[what] = connection.execute(query).fetchall()
    connection.close()
    return found


_CATALOGS = {
    "sequences": "SELECT sequencename, last_value FROM pg_sequences ORDER BY 1",
    "columns": "SELECT table_name, column_name, data_type FROM information_schema.columns"
    " WHERE table_schema = 'public' ORDER BY 1, 2",
    "triggers": "SELECT tgrelid::regclass::text FROM pg_trigger"
    " WHERE tgfoid = 'flask_testbed.note_write'::regproc ORDER BY 1",
}

TEAM = "INSERT INTO team (name) VALUES ('red'), ('blue')"
MEMBERS = "INSERT INTO member (team_id, note) SELECT id, name FROM team"

DEEDS = {
    "insert": "INSERT INTO team (name) VALUES ('green')",
    "update": "UPDATE team SET name = name || '!', mood = 'BAD'",
    "update a key": "DELETE FROM member WHERE team_id = 2; UPDATE team SET id = 20 WHERE id = 2",
    "delete": "DELETE FROM member WHERE id NOT IN (SELECT leader_id FROM team)",
    "delete with cascade": "UPDATE team SET leader_id = NULL; DELETE FROM team",
    "truncate": "TRUNCATE team CASCADE",
    "truncate and restart": "TRUNCATE team RESTART IDENTITY CASCADE",
    "delete and insert the same": "UPDATE team SET leader_id = NULL; DELETE FROM team;"
    " INSERT INTO team (name) VALUES ('red'), ('blue')",
    "swap": "UPDATE team SET name = id::text; UPDATE team SET name = 'red' WHERE id = 2;"
    " UPDATE team SET name = 'blue' WHERE id = 1",
    "refer to a new row": "INSERT INTO team (name) VALUES ('green');"
    " UPDATE member SET team_id = (SELECT max(id) FROM team)",
    "rows of migrations": "DELETE FROM country WHERE code = 'at';"
    " UPDATE country SET facts = '{\"a\": 1}'",
    "many": "INSERT INTO team (name) SELECT 'team ' || n FROM generate_series(1, 5000) n",
    "nothing that is seen": "UPDATE team SET name = name",
    "drop": "DROP TABLE team CASCADE",
    "alter": "ALTER TABLE team ADD COLUMN motto text",
    "drop everything": "DROP TABLE team, member, country, event CASCADE; DROP TYPE mood",
}


# What tests do


@pytest.mark.parametrize("deed", sorted(DEEDS))
def test_rows_of_a_layer_survive_what_a_test_does(
    sandbox: Sandbox, engine: Engine, keep: Callable[..., str], deed: str
) -> None:
    keep("teams", TEAM, MEMBERS, "UPDATE team SET leader_id = (SELECT min(id) FROM member)")
    kept = contents(sandbox)
    for _ in range(2):
        run(engine, DEEDS[deed])
        assert contents(sandbox) != kept or deed == "nothing that is seen"
        sandbox.reset()
        assert contents(sandbox) == kept


def test_a_layer_goes_with_its_owner(
    sandbox: Sandbox, engine: Engine, keep: Callable[..., str]
) -> None:
    before = contents(sandbox)
    keep("teams", TEAM, MEMBERS, "DELETE FROM country", "INSERT INTO event VALUES ('kick-off')")
    assert contents(sandbox) != before
    sandbox.drop_layers("teams")
    assert contents(sandbox) == before


def test_what_a_layer_wrote_is_kept_in_every_table(
    sandbox: Sandbox, engine: Engine, keep: Callable[..., str]
) -> None:
    run(engine, TEAM, "DELETE FROM country", "INSERT INTO event VALUES ('kick-off')")
    written = contents(sandbox)
    keep("all")
    run(engine, "DELETE FROM team", "DELETE FROM event")
    run(engine, "INSERT INTO country VALUES ('jp', '{}')")
    sandbox.reset()
    assert contents(sandbox) == written


def test_sequences_go_on_after_the_layer_and_begin_there_for_each_test(
    sandbox: Sandbox, engine: Engine, keep: Callable[..., str]
) -> None:
    keep("teams", TEAM)
    for _ in range(2):
        with engine.begin() as connection:
            assert connection.scalar(sa.text("SELECT nextval('team_id_seq')")) == 3
        sandbox.reset()
    sandbox.drop_layers("teams")
    with engine.begin() as connection:
        assert connection.scalar(sa.text("SELECT nextval('team_id_seq')")) == 1


def test_nothing_is_kept_of_a_fixture_that_has_only_read(
    sandbox: Sandbox, engine: Engine, keep: Callable[..., str]
) -> None:
    keep("reader", "SELECT count(*) FROM team")
    assert not sandbox.has_layer("reader")


# Several layers


def test_layers_lie_upon_each_other(
    sandbox: Sandbox, engine: Engine, keep: Callable[..., str]
) -> None:
    states = [contents(sandbox)]
    for owner, statement in [
        ("teams", TEAM),
        ("members", MEMBERS),
        ("names", "UPDATE team SET name = name || id"),
        ("none", "DELETE FROM member"),
    ]:
        keep(owner, statement)
        states.append(contents(sandbox))
    for owner, state in zip(["none", "names", "members", "teams"], states[::-1], strict=False):
        run(engine, "TRUNCATE team, member")
        sandbox.reset()
        assert contents(sandbox) == state
        sandbox.drop_layers(owner)
    assert contents(sandbox) == states[0]


def test_a_layer_is_taken_from_under_others(
    sandbox: Sandbox, engine: Engine, keep: Callable[..., str]
) -> None:
    keep("low", "INSERT INTO team (name) VALUES ('low'), ('renamed'), ('deleted')")
    keep(
        "middle",
        "INSERT INTO team (name) VALUES ('middle')",
        "UPDATE team SET name = 'by the middle' WHERE name = 'low'",
        "INSERT INTO country VALUES ('jp', '{\"a\": 1}')",
        "DELETE FROM country WHERE code = 'at'",
        "UPDATE country SET facts = '{\"b\": 2}' WHERE code = 'fr'",
        "INSERT INTO event VALUES ('of the middle')",
    )
    keep(
        "high",
        "INSERT INTO team (name) VALUES ('high')",
        "UPDATE team SET name = 'by the high' WHERE name = 'renamed'",
        "DELETE FROM team WHERE name = 'deleted'",
        "INSERT INTO country VALUES ('nz', '{}')",
        "UPDATE country SET facts = '{\"c\": 3}' WHERE code = 'fr'",
        "INSERT INTO event VALUES ('of the high')",
    )

    sandbox.drop_layers("middle")

    def seen(query: str) -> list[Any]:
        with engine.connect() as connection:
            return list(connection.scalars(sa.text(query)))

    for _ in range(2):
        assert seen("SELECT name FROM team ORDER BY 1") == ["by the high", "high", "low"]
        assert seen("SELECT code FROM country ORDER BY 1") == ["at", "fr", "nz"]
        assert seen("SELECT facts FROM country WHERE code = 'fr'") == [{"c": 3}]
        assert seen("SELECT word FROM event") == ["of the high"]
        run(engine, "DELETE FROM team", "DELETE FROM country", "DELETE FROM event")
        sandbox.reset()


def test_rows_that_others_refer_to_must_not_end_before_them(
    sandbox: Sandbox, engine: Engine, keep: Callable[..., str]
) -> None:
    before = contents(sandbox)
    keep("teams", TEAM)
    keep("members", MEMBERS)
    with pytest.raises(IsolationError, match=r"'teams' has.*team_id.*fixture 'members'"):
        sandbox.drop_layers("teams")
    assert contents(sandbox) == before
    assert not sandbox.has_layer("members")


def test_an_owner_may_have_several_layers(
    sandbox: Sandbox, engine: Engine, keep: Callable[..., str]
) -> None:
    before = contents(sandbox)
    keep("outer", TEAM)
    keep("inner", "INSERT INTO event VALUES ('inner')")
    keep("outer", MEMBERS)
    sandbox.drop_layers("outer")
    with engine.connect() as connection:
        assert connection.scalars(sa.text("SELECT word FROM event")).all() == ["inner"]
        assert connection.scalar(sa.text("SELECT count(*) FROM team")) == 0
    sandbox.drop_layers("inner")
    assert contents(sandbox) == before


# Large ones


def large(engine: Engine) -> list[str]:
    """The tables whose writes are noted, in place of reading all rows."""
    with engine.connect() as connection:
        found = connection.execute(
            sa.text(
                "SELECT name FROM flask_testbed.restored_table"
                " WHERE watched AND name <> 'public.country' ORDER BY 1"
            )
        )
        return list(found.scalars())


MANY = "INSERT INTO team (name) SELECT 'team ' || n FROM generate_series(1, 5000) n"


@pytest.mark.parametrize("deed", ["delete with cascade", "many", "truncate", "update", "drop"])
def test_a_large_layer_comes_back_too(
    sandbox: Sandbox, engine: Engine, keep: Callable[..., str], deed: str
) -> None:
    keep("many", MANY.replace("'team '", "'old '"), MEMBERS)
    assert large(engine) == ["public.member", "public.team"]
    kept = contents(sandbox)
    for _ in range(2):
        run(engine, DEEDS[deed])
        sandbox.reset()
        assert contents(sandbox) == kept
    sandbox.drop_layers("many")
    assert large(engine) == []


def test_rows_of_a_large_layer_that_nobody_writes_are_not_read(
    sandbox: Sandbox, engine: Engine, keep: Callable[..., str]
) -> None:
    keep("many", MANY)
    run(engine, "INSERT INTO event VALUES ('small')")
    sandbox.reset()

    if sandbox.database.cluster.version < 150000:
        pytest.skip("PostgreSQL 14 counts later")

    def scans() -> Any:
        # What a session has done is counted when it is idle.
        sandbox.database.connection().execute("SELECT pg_stat_force_next_flush()")
        query = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'team'"
        return sandbox.database.connection().execute(query).fetchone()

    before = scans()
    for _ in range(3):
        run(engine, "INSERT INTO event VALUES ('small')")
        sandbox.reset()
    assert scans() == before
    run(engine, "UPDATE team SET name = name")
    sandbox.reset()
    assert scans() > before


# A layer that changes the schema

MOTTO = "ALTER TABLE team ADD COLUMN motto text DEFAULT 'go'"
OTHER = "CREATE TABLE other (id serial PRIMARY KEY)"


@pytest.mark.parametrize("deed", ["update", "drop", "alter"])
def test_a_layer_may_change_the_schema(
    sandbox: Sandbox, engine: Engine, keep: Callable[..., str], deed: str
) -> None:
    before = contents(sandbox)
    keep("teams", TEAM)
    keep("schema", MOTTO, OTHER, "INSERT INTO other DEFAULT VALUES", "DROP TABLE event")
    keep("members", MEMBERS, "INSERT INTO other DEFAULT VALUES")
    kept = contents(sandbox)
    assert "public.other" in kept
    for _ in range(2):
        run(engine, DEEDS[deed].replace("COLUMN motto", "COLUMN more"), "DELETE FROM other")
        sandbox.reset()
        assert contents(sandbox) == kept
    sandbox.drop_layers("members")
    sandbox.drop_layers("schema")
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM team")) == 2
        assert "motto" not in connection.execute(sa.text("SELECT * FROM team")).keys()  # noqa: SIM118
    sandbox.drop_layers("teams")
    assert contents(sandbox) == before


def test_the_copy_of_a_changed_schema_goes_with_its_layer(
    sandbox: Sandbox, engine: Engine, keep: Callable[..., str]
) -> None:
    def databases() -> set[str]:
        found = sandbox.database.cluster.find_all(f"{sandbox.target.name}.*")
        # Others may run the same tests meanwhile.
        return {one.name for one in found if one.label and str(os.getpid()) in one.label.made_by}

    before = databases()
    keep("schema", OTHER)
    assert len(databases() - before) == 1
    sandbox.drop_layers("schema")
    assert databases() == before


# PostgreSQL waits for the connection for five seconds.
@pytest.mark.parametrize("sandbox", ["default"], indirect=True)
def test_a_changed_schema_and_an_open_connection_do_not_go_together(
    sandbox: Sandbox, engine: Engine, keep: Callable[..., str]
) -> None:
    keep("teams", TEAM)
    kept = contents(sandbox)
    run(engine, OTHER)
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
        with pytest.raises(IsolationError, match=r"'schema' changes the schema.*Close every conn"):
            sandbox.keep_layer("schema", "The fixture 'schema'")
        connection.invalidate()
    sandbox.reset()
    assert contents(sandbox) == kept


def test_a_changed_schema_must_not_end_before_what_came_after_it(
    sandbox: Sandbox, engine: Engine, keep: Callable[..., str]
) -> None:
    keep("low", TEAM)
    kept = contents(sandbox)
    keep("schema", OTHER)
    keep("high", MEMBERS)
    with pytest.raises(IsolationError, match=r"'schema' has changed.*before The fixture 'high'"):
        sandbox.drop_layers("schema")
    sandbox.reset()
    assert contents(sandbox) == kept


# A database that stays


@pytest.mark.usefixtures("toys")
def test_layers_of_a_run_that_was_killed_are_forgotten() -> None:
    app = make_app("default")
    app.config["SQLALCHEMY_DATABASE_URI"] = development_url(INSTANCE, "toy_layers_kept")
    keeping = Keeping(reuse=True)
    for statement in (MEMBERS, OTHER):
        first = sandbox_of(app, keeping)
        before = contents(first)
        with app.app_context():
            run(db.engine, TEAM, statement)
        first.keep_layer("killed", "A fixture")
        assert contents(first) != before
        # It does not come to its fixture's teardown.
        first.close()

        second = sandbox_of(app, keeping)
        assert contents(second) == before
        second.close()
    last = sandbox_of(app)
    last.url()
    last.close()
