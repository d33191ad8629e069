"""Templates and databases: built once, complete or absent, mended after any crash."""

from __future__ import annotations

import gc
import json
import re
import signal
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy.engine import make_url

from flask_testbed.application.databases import database_of
from flask_testbed.application.schema import find_schema
from flask_testbed.application.target import target_of
from flask_testbed.databases.template import Template
from flask_testbed.databases.test_database import TestDatabase
from flask_testbed.postgres.cluster import Cluster
from flask_testbed.postgres.labels import TEMPLATE, UNFINISHED, Kind, Label
from flask_testbed.sandbox.sandbox import Sandbox
from tests.support.migrations import MIGRATION, migrated, write_migrations
from tests.support.processes import finish
from tests.support.projects import Project
from tests.support.servers import Stock
from tests.support.toys import Toys, toy_db
from tests.support.waiting import wait_for

#: A migration that says when it is in the middle, and takes its time.
SLOW = """
        import pathlib, time
        pathlib.Path("in-the-middle").touch()
        time.sleep(3600)
"""


def fingerprint(app: Flask) -> str:
    return find_schema(database_of(app)).fingerprint


def label_of(stock: Stock, name: str = "own_test") -> Label:
    label = Label.read(stock.marks()[name])
    assert label is not None
    return label


def cluster(stock: Stock, role: str = "boss") -> Cluster:
    return Cluster(make_url(stock.url("x", role)).set(drivername="postgresql+psycopg"), "S")


def test_a_test_database_keeps_its_application(stock: Stock, toys: Toys) -> None:
    database = TestDatabase(toys.app(stock.url("own")))
    gc.collect()

    assert database.create().tables == 2


# What a schema is made of


def test_migrations_make_the_schema_where_there_are_any(
    stock: Stock, toys: Toys, migrations: Path
) -> None:
    outcome = toys.run(migrated(toys, stock.url("own"), migrations), "test-db", "create")

    # alembic_version is the other one.
    assert "2 tables from the migrations" in outcome.out
    assert stock.rows("SELECT count(*) FROM shelf", "own_test") == [0]
    assert stock.rows("SELECT version_num FROM alembic_version", "own_test") == ["1"]


def test_a_folder_without_migrations_is_none(stock: Stock, toys: Toys, migrations: Path) -> None:
    (migrations / "versions" / "1_shelf.py").unlink()

    outcome = toys.run(migrated(toys, stock.url("own"), migrations), "test-db", "create")

    assert "2 tables from the models" in outcome.out


def test_one_character_changes_the_fingerprint(toys: Toys, migrations: Path) -> None:
    app = migrated(toys, "postgresql://h/own", migrations)
    file = migrations / "versions" / "1_shelf.py"
    before = fingerprint(app)
    assert fingerprint(migrated(toys, "postgresql://h/other", migrations)) == before

    file.write_text(file.read_text() + " ")

    assert fingerprint(app) != before
    (migrations / "versions" / "__pycache__").mkdir()
    (migrations / "versions" / "__pycache__" / "x.pyc").touch()
    after = fingerprint(app)
    file.rename(file.with_name("2.py"))
    assert fingerprint(app) != after


def test_a_model_changes_the_fingerprint(toys: Toys) -> None:
    changed = toy_db()
    changed.metadata.tables["book"].append_column(changed.Column("pages", changed.Integer))

    one, two = (toys.app("postgresql://h/own") for _ in range(2))

    assert fingerprint(one) == fingerprint(two)
    assert fingerprint(one) != fingerprint(toys.app("postgresql://h/own", changed))


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("op.execute('SELECT nonsense')", 'column "nonsense" does not exist'),
        ("op.get_bind().invalidate(); op.execute('SELECT 1')", "migrations"),
    ],
)
def test_nothing_is_left_when_a_migration_fails(
    stock: Stock, toys: Toys, migrations: Path, statement: str, says: str
) -> None:
    before = stock.databases()
    write_migrations(migrations, MIGRATION + f"        {statement}\n")

    outcome = toys.run(migrated(toys, stock.url("own"), migrations), "test-db", "create")

    outcome.assert_says("The schema cannot be made from the migrations", says, "flask db upgrade")
    assert stock.databases() == before


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_what_is_interrupted_while_it_is_built_is_mended(
    stock: Stock, project: Project, how: signal.Signals
) -> None:
    toyapp = (project.root / "toyapp.py").read_text()
    project.write(
        toyapp="import flask_migrate\n"
        + toyapp.replace("db.init_app(app)", "db.init_app(app)\n    flask_migrate.Migrate(app, db)")
    )
    write_migrations(project.root / "migrations", MIGRATION + SLOW)
    before = stock.databases()
    command = ("-m", "flask", "--app", "toyapp", "test-db")

    interrupted = project.start(*command, "create", DATABASE_URL=stock.url("own"))
    wait_for((project.root / "in-the-middle").exists, "the migration")
    during = set(stock.databases()) - set(before)
    finish(interrupted, how)

    assert len(during) == 1
    assert during.pop().startswith(UNFINISHED)
    if how == signal.SIGINT:
        assert stock.databases() == before
    wait_for(
        lambda: stock.rows("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [0],
        "the locks to be free",
    )
    write_migrations(project.root / "migrations")
    outcome = project.run(*command, "create", DATABASE_URL=stock.url("own"))
    assert outcome.status == 0, outcome.text
    assert stock.databases() == sorted([*before, "own_test"])


def test_each_event_is_logged(stock: Stock, toys: Toys, caplog: pytest.LogCaptureFixture) -> None:
    app = toys.app(stock.url("own"))
    caplog.set_level("DEBUG", logger="flask_testbed")

    for command in ("create", "snapshot save one", "snapshot restore one", "drop", "prune"):
        outcome = toys.run(app, "test-db", *command.split())
        assert outcome.status == 0, outcome.text

    said = "\n".join(caplog.messages)
    for event in (
        rf"created template database '{TEMPLATE}\w+' from None in \d\.\d{{3}} s",
        rf"built <Template {TEMPLATE}\w+, built from models> in \d\.\d{{3}} s",
        rf"created kept database 'own_test' from '{TEMPLATE}\w+' in",
        rf"dropped database '{TEMPLATE}\w+' in \d\.\d{{3}} s",
        r"saved the snapshot 'one' of 'own_test'",
        r"restored the snapshot 'one' of 'own_test'",
        r"dropped database 'own_test' in \d\.\d{3} s",
    ):
        assert re.search(event, said), said
    assert stock.password not in said


def test_a_template_that_exists_is_used_again(
    stock: Stock, toys: Toys, caplog: pytest.LogCaptureFixture
) -> None:
    app = toys.app(stock.url("own"))
    schema = find_schema(database_of(app))
    with closing(cluster(stock)) as one, closing(cluster(stock)) as two:
        with Template(one, schema).held() as built:
            caplog.set_level("DEBUG", logger="flask_testbed")
            with Template(two, schema).held() as found:
                assert found.name == built.name
                assert found.label == built.label
            assert built.name in stock.databases()
        assert built.name not in stock.databases()

    assert f"found the template {built.name}" in caplog.messages


# Databases


def test_a_database_gets_its_name_and_its_label_at_the_end(stock: Stock) -> None:
    before = stock.databases()
    with closing(cluster(stock)) as server:
        with server.creating("x_test", Label.create(Kind.RUN, "0")) as unfinished:
            assert unfinished.startswith(UNFINISHED)
            assert server.find("x_test") is None
            assert stock.marks()[unfinished] == ""
        found = server.find("x_test")

    assert found is not None
    assert found.label is not None
    assert found.owner == "boss"
    assert stock.databases() == sorted([*before, "x_test"])


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_what_fails_while_it_is_made_is_absent(stock: Stock, error: type[BaseException]) -> None:
    before = stock.databases()
    with (
        closing(cluster(stock)) as server,
        pytest.raises(error),
        server.creating("x_test", Label.create(Kind.RUN, "0")),
    ):
        raise error

    assert stock.databases() == before


def test_what_is_being_made_is_not_a_leftover(stock: Stock) -> None:
    with (
        closing(cluster(stock)) as maker,
        closing(cluster(stock)) as cleaner,
        maker.creating("x_test", Label.create(Kind.RUN, "0")) as unfinished,
    ):
        cleaner.drop_unfinished()
        assert unfinished in stock.databases()


def test_only_unfinished_databases_of_ones_own_are_leftovers(stock: Stock) -> None:
    names = [f"{UNFINISHED}0123456789ab", f"{UNFINISHED}not_hex", f"x{UNFINISHED}0123456789ab"]
    for name in names:
        stock.create(name)

    with closing(cluster(stock, "maker")) as other:
        other.drop_unfinished()
    assert set(names) <= set(stock.databases())
    with closing(cluster(stock)) as server:
        server.drop_unfinished()

    assert set(names) & set(stock.databases()) == set(names[1:])


def test_a_template_takes_no_connections(toys: Toys, stock: Stock) -> None:
    with closing(cluster(stock)) as server:
        name = TEMPLATE + "0" * 16
        with server.creating(name, Label.create(Kind.TEMPLATE, "0")):
            pass
        assert stock.rows(
            "SELECT datallowconn FROM pg_database WHERE datname = %s", "postgres", name
        ) == [False]
        server.clone(name, "x_test", Label.create(Kind.KEPT, "0"))

    assert label_of(stock, "x_test").kind == Kind.KEPT


def test_a_lock_is_free_when_its_holder_is_gone(stock: Stock) -> None:
    with closing(cluster(stock)) as one, closing(cluster(stock)) as two:
        assert one.locks.try_lock("x_test")
        assert not two.locks.try_lock("x_test")
        assert two.locks.is_locked("x_test")
        assert not two.locks.is_locked("y_test")
        stock.rows("SELECT pg_terminate_backend(%s)", "postgres", one.connection.info.backend_pid)
        end = time.monotonic() + 10
        while not two.locks.try_lock("x_test"):
            assert time.monotonic() < end


def test_who_made_a_database_and_for_whom(stock: Stock, toys: Toys) -> None:
    toys.run(toys.app(stock.url("own", "maker")), "test-db", "create")

    label = label_of(stock)

    assert label.kind == Kind.KEPT
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", label.made_at)
    assert stock.rows(
        "SELECT rolname FROM pg_database d JOIN pg_roles r ON r.oid = datdba"
        " WHERE datname = 'own_test'"
    ) == ["maker"]


def test_a_process_that_waited_for_the_template_does_not_wait_for_its_users(
    stock: Stock, toys: Toys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They hold the template for as long as their run lasts."""
    app = toys.app(stock.url("own"))
    schema = find_schema(database_of(app))
    with closing(cluster(stock)) as one, closing(cluster(stock)) as two:
        first, second = Template(one, schema), Template(two, schema)
        with first.held() as built, ExitStack() as later:
            two.connection.execute("SET lock_timeout = '1s'")
            # The second process has looked before the first one had built it.
            found = iter([None, two.find(first.name)])
            monkeypatch.setattr(two, "find", lambda _: next(found))

            assert later.enter_context(second.held()).name == built.name

            monkeypatch.undo()
            later.pop_all().close()
            assert one.find(first.name) is not None
        assert one.find(first.name) is None


def test_a_run_keeps_its_name_also_while_nobody_is_connected(stock: Stock, toys: Toys) -> None:
    app = toys.app(stock.url("own"))
    database = database_of(app)
    before = stock.databases()
    with closing(Cluster(make_url(stock.url("own")), "x")) as other:
        assert other.locks.try_lock("own_test")
        sandbox = Sandbox(database, target_of(database))
        sandbox.redirect(database)
        try:
            assert sandbox.url().database == "own_test_2"
            # What it makes beside its database must not take that one's name either.
            assert sandbox.database.copy() == "own_test_3"
            assert {"own_test_2", "own_test_3"} <= set(stock.databases())
            sandbox.database.drop_copy("own_test_3")
        finally:
            sandbox.close()
    assert stock.databases() == before


def test_a_template_is_built_once_for_the_same_migrations(
    toys: Toys, migrations: Path, home: Path
) -> None:
    """On the embedded server, where templates stay."""
    file = migrations / "versions" / "1_shelf.py"
    count = migrations.parent / "built"
    file.write_text(file.read_text() + f"    with open({str(count)!r}, 'a') as f: f.write('x')\n")
    app = migrated(toys, "", migrations)

    for command in ("create", "reset", "drop", "create"):
        outcome = toys.run(app, "test-db", command)
        assert outcome.status == 0, (command, outcome.text)
    assert count.read_text() == "x"

    file.write_text(file.read_text() + "#")
    assert toys.run(app, "test-db", "reset").status == 0
    assert count.read_text() == "xx"
    listed = json.loads(toys.run(app, "test-db", "status", "--json").out)
    assert [row["kind"] for row in listed].count("template") == 2
    assert toys.run(app, "test-db", "drop").status == 0
