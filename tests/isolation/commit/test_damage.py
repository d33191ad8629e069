"""What the testbed itself has put into the database is damaged, or a reset fails: a clone, once."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from flask_testbed.errors import IsolationError
from flask_testbed.isolation.mode import Isolation
from flask_testbed.sandbox.names import Keeping
from flask_testbed.sandbox.sandbox import Sandbox
from tests.support.notes import MakeSandbox, add, db, notes

DROP = "DROP SCHEMA flask_testbed CASCADE"
REFUSE = [
    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql"
    " AS 'BEGIN RAISE EXCEPTION ''append-only''; END'",
    "CREATE TRIGGER t BEFORE DELETE OR TRUNCATE ON note EXECUTE FUNCTION refuse()",
    "ALTER TABLE note ENABLE ALWAYS TRIGGER t",
]


def execute(sandbox: Sandbox, *statements: str) -> None:
    with sandbox.app_database.app.app_context():
        for statement in statements:
            db.session.execute(sa.text(statement))
        db.session.commit()


@pytest.mark.parametrize(
    "act", [DROP, "DROP FUNCTION flask_testbed.reset", "TRUNCATE flask_testbed.layer_table"]
)
def test_each_test_finds_the_rows_of_migrations_and_of_fixtures(
    make_sandbox: MakeSandbox, act: str
) -> None:
    sandbox = make_sandbox(migration=["INSERT INTO note VALUES (100, 'migration')"])
    for _ in range(2):
        execute(sandbox, "DELETE FROM note", act)
        sandbox.reset()
        assert notes(sandbox) == ["migration"]


def test_a_trigger_that_refuses_every_reset_costs_a_clone_for_each(
    make_sandbox: MakeSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox = make_sandbox(migration=REFUSE)
    for _ in range(2):
        add(sandbox, "one")
        caplog.clear()
        with caplog.at_level("DEBUG", "flask_testbed.sandbox.database"):
            sandbox.reset()
        assert "is replaced by a clone: a reset fails: there are triggers" in caplog.text
        assert notes(sandbox) == []


def test_an_error_that_returns_after_the_clone_is_one_sentence(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(migration=REFUSE)
    owner = object()
    execute(sandbox, "CREATE TABLE other ()", "INSERT INTO note VALUES (100, 'kept')")
    sandbox.keep_layer(owner, "The fixture")
    execute(
        sandbox,
        "CREATE OR REPLACE FUNCTION flask_testbed.choose_copies() RETURNS void"
        " LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''it is broken''; END'",
    )
    sandbox.database.layers.push(object(), "Another fixture")
    add(sandbox, "two")
    with pytest.raises(IsolationError, match=r"The fixture, Another fixture\. The reason") as said:
        sandbox.reset()
    assert "\n" not in str(said.value)
    with pytest.raises(IsolationError, match="ends before Another fixture"):
        sandbox.drop_layers(owner)
    assert notes(sandbox) == []


def test_rows_of_a_fixture_that_are_lost_are_named_until_it_ends(
    make_sandbox: MakeSandbox,
) -> None:
    sandbox = make_sandbox()
    owner = object()
    add(sandbox, "kept")
    sandbox.keep_layer(owner, "The fixture")
    execute(sandbox, DROP)
    for _ in range(2):
        with pytest.raises(IsolationError, match=r"cannot be copied into it: The fixture\."):
            sandbox.reset()
    with pytest.raises(IsolationError, match="The fixture"):
        sandbox.drop_layers(owner)
    assert notes(sandbox) == []


def test_a_fixture_that_drops_every_schema_and_makes_its_own(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox()
    owner = object()
    execute(sandbox, DROP, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    with sandbox.app_database.app.app_context():
        db.create_all()
    add(sandbox, "kept")
    sandbox.keep_layer(owner, "The fixture")
    for act in ("DELETE FROM note", DROP, "DROP TABLE note"):
        execute(sandbox, act)
        sandbox.reset()
        assert notes(sandbox) == ["kept"]
    sandbox.drop_layers(owner)
    assert notes(sandbox) == []


def test_a_fixture_that_stores_a_large_object(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox()
    owner = object()
    execute(sandbox, "SELECT lo_from_bytea(4711, 'kept')", "INSERT INTO note VALUES (1, 'kept')")
    sandbox.keep_layer(owner, "The fixture")
    for act in ("SELECT lo_from_bytea(4712, 'of the test')", "SELECT lo_put(4711, 0, 'x')"):
        execute(sandbox, act)
        sandbox.reset()
        execute(sandbox, "DO $$ BEGIN ASSERT lo_get(4711) = 'kept'; END $$")
        execute(
            sandbox, "DO $$ BEGIN ASSERT (SELECT count(*) FROM pg_largeobject_metadata) = 1; END $$"
        )
    sandbox.drop_layers(owner)
    execute(
        sandbox, "DO $$ BEGIN ASSERT (SELECT count(*) FROM pg_largeobject_metadata) = 0; END $$"
    )


def test_a_kept_database_that_was_damaged_is_replaced(make_sandbox: MakeSandbox) -> None:
    keeping = Keeping(reuse=True)
    for act in (DROP, "CREATE TABLE other ()"):
        sandbox = make_sandbox(keeping=keeping)
        add(sandbox, "left")
        execute(sandbox, act)
        sandbox.close()

        sandbox = make_sandbox(keeping=keeping)
        assert notes(sandbox) == []
        sandbox.close()
    make_sandbox(keeping=Keeping(reuse=True, anew=True)).url()


def test_a_clone_follows_a_change_of_the_settings(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(
        migration=[
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET shop.rate = ''5''',"
            " current_database()); END $$"
        ]
    )
    sandbox.begin(Isolation(test="test_settings"))
    rate = "DO $$ BEGIN ASSERT current_setting('shop.rate') = '5'; END $$"
    execute(sandbox, rate)
    name = sandbox.name
    execute(sandbox, f"ALTER DATABASE \"{name}\" SET shop.rate = '6'")
    sandbox.reset()
    execute(sandbox, rate)
