"""A schema is built while the application is in the middle of something of its own."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
import sqlalchemy as sa
from psycopg.types import TypeInfo
from psycopg.types.hstore import register_hstore
from sqlalchemy import event

from flask_testbed import Testbed
from flask_testbed.errors import IsolationError
from flask_testbed.isolation.mode import Mode
from flask_testbed.sandbox import sandbox as sandboxes
from tests.support.migrations import migrated
from tests.support.sandboxes import MODES, NAMES, sandbox
from tests.support.servers import Stock
from tests.support.toys import Toys, toy_db


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scope", [threading.get_ident, None, lambda: "one for all"])
def test_sessions_of_another_scope_than_the_context(
    stock: Stock, toys: Toys, mode: Mode, scope: Any
) -> None:
    db, url = toy_db(scopefunc=scope), stock.url(next(NAMES), "maker")
    app = toys.app(url, db)
    table = db.metadata.tables["book"]

    @Testbed(app, extensions=["citext"]).template_hook
    def reference(session: Any) -> None:
        session.execute(table.insert().values(title="reference"))

    with sandbox(app, mode), app.app_context():
        db.session.info["of"] = "the test"
        db.session.execute(table.insert().values(title="flushed"))

        other = toys.app(url, db)

        assert other is not app
        assert db.session.info == {"of": "the test"}
        titles = db.session.scalars(sa.select(table.c.title).order_by(table.c.id)).all()
        assert titles == ["reference", "flushed"]


@pytest.mark.parametrize("mode", MODES)
def test_an_extension_is_there_when_the_application_first_connects(
    stock: Stock, toys: Toys, mode: Mode
) -> None:
    app = toys.app(stock.url(next(NAMES)))
    Testbed(app, extensions=["hstore"])
    db = app.extensions["sqlalchemy"]

    with sandbox(app, mode), app.app_context():

        @event.listens_for(db.engine, "connect")
        def learn(connection: Any, record: Any) -> None:
            info = TypeInfo.fetch(connection, "hstore")
            assert info is not None
            register_hstore(info, connection)

        with db.engine.connect() as connection:
            assert connection.scalar(sa.text("SELECT 'a=>1'::hstore")) == {"a": "1"}


@pytest.mark.parametrize("mode", MODES)
def test_the_template_is_built_inside_a_migration_of_the_application(
    stock: Stock, toys: Toys, migrations: Path, mode: Mode
) -> None:
    app = migrated(toys, stock.url(next(NAMES)), migrations)
    (migrations / "versions" / "2_lamp.py").write_text(
        "from alembic import op\nrevision, down_revision = '2', '1'\n"
        "def upgrade():\n    op.execute('CREATE TABLE lamp ()')\n"
        "def downgrade():\n    op.execute('DROP TABLE lamp')\n"
    )

    with sandbox(app, mode), app.app_context():
        flask_migrate.upgrade()
        flask_migrate.downgrade(revision="1")

        tables = sa.inspect(app.extensions["sqlalchemy"].engine).get_table_names()
        assert sorted(tables) == ["alembic_version", "shelf"]


@pytest.mark.parametrize("own", ["an external server", "the embedded server"])
def test_threads_of_a_hook_lead_to_what_is_built(
    stock: Stock, toys: Toys, environment: pytest.MonkeyPatch, own: str
) -> None:
    victim = stock.create("built")
    environment.setenv("TEST_DATABASE_URL", stock.url("thread_test"))
    db = toy_db()
    app = toys.app(stock.url("built") if own == "an external server" else None, db)

    @Testbed(app).template_hook
    def insert(session: Any) -> None:
        def work() -> None:
            with app.app_context(), db.engine.begin() as connection:
                connection.execute(sa.text("INSERT INTO book (title) VALUES ('by a thread')"))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    assert toys.run(app, "test-db", "create").status == 0

    assert stock.rows("SELECT title FROM book", "thread_test") == ["by a thread"]
    victim.before.append("thread_test")
    victim.assert_untouched()


def test_a_thread_that_a_hook_waits_for_does_not_wait_for_ever(
    stock: Stock, toys: Toys, environment: pytest.MonkeyPatch
) -> None:
    environment.setattr(sandboxes, "WAIT_AT_MOST", 0.1)
    db = toy_db()
    app = toys.app(stock.url("built"), db)
    errors: list[str] = []

    @Testbed(app).template_hook
    def wait(session: Any) -> None:
        def work() -> None:
            with app.app_context(), pytest.raises(IsolationError) as refused:
                db.engine.connect()
            errors.append(str(refused.value))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    with sandbox(app) as made:
        made.url()

    assert ["a template hook has started this thread" in error for error in errors] == [True]
