"""The testbed's own sessions: no setting disturbs them, and a pooler must leave them alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from flask_testbed.errors import ServerError
from flask_testbed.postgres.connecting import Connection, connect
from tests.support.pooler import pooler
from tests.support.projects import MODELS, Project
from tests.support.servers import Stock

#: What an administrator may have set for a role, and what an own session has in its place.
HARMFUL = {
    "statement_timeout": ("1h", "0"),
    "lock_timeout": ("5ms", "600000"),
    "idle_session_timeout": ("1h", "0"),
    "idle_in_transaction_session_timeout": ("1h", "0"),
    "transaction_timeout": ("1h", "0"),
    "default_transaction_read_only": ("on", "off"),
    "default_transaction_isolation": ("serializable", "read committed"),
    "default_transaction_deferrable": ("on", "off"),
    "synchronous_commit": ("remote_apply", "local"),
    "exit_on_error": ("on", "off"),
    "standard_conforming_strings": ("off", "on"),
    "quote_all_identifiers": ("on", "off"),
    "transform_null_equals": ("on", "off"),
    "array_nulls": ("off", "on"),
    "row_security": ("off", "on"),
    "DateStyle": ("SQL, DMY", "ISO, DMY"),
    "IntervalStyle": ("sql_standard", "postgres"),
    "bytea_output": ("escape", "hex"),
    "extra_float_digits": ("-15", "1"),
    "xmloption": ("document", "content"),
    "client_encoding": ("LATIN1", "UTF8"),
}

#: Those with which an application cannot work, or not in rollback mode.
UNBEARABLE = ["default_transaction_read_only", "default_transaction_isolation", "exit_on_error"]

PRECISE = """
    from datetime import date, timedelta

    class Precise(Base):
        __tablename__ = "precise"
        day: Mapped[date] = mapped_column(primary_key=True)
        span: Mapped[timedelta]
        number: Mapped[float]
        bytes: Mapped[bytes]
"""

TESTS = """
    import pytest
    from models import db, add, titles

    FAILS, TIMEOUT = 3, "1h"
    VALUES = "SELECT precise::text FROM precise"  # in the styles of the session

    @pytest.fixture(scope="module")
    def layer(app):
        with app.app_context():
            add("ä")
            db.session.execute(db.text("CREATE TABLE précis (a int)"))
            db.session.execute(db.text(
                "INSERT INTO precise VALUES ('2026-02-01', interval '-1 day +2:03:04',"
                " 0.1::float8 + 0.2, decode('00ff', 'hex'))"
            ))
            db.session.commit()
            return db.session.execute(db.text(VALUES)).one()

    @pytest.mark.parametrize("n", range(3))
    def test_it(app, layer, n):
        assert titles() == ["ä"]
        assert db.session.execute(db.text(VALUES)).one() == layer
        shown = db.session.scalar(db.text("SHOW idle_in_transaction_session_timeout"))
        assert shown == TIMEOUT
        add("ö")
        db.session.execute(db.text("UPDATE precise SET number = -number"))
        if n == 1:
            db.session.execute(db.text("DROP TABLE précis"))
        db.session.commit()
        assert n < FAILS
"""


@pytest.fixture
def strange(stock: Stock) -> Iterator[Stock]:
    """A server whose roles have strange settings."""
    known = stock.rows("SELECT name FROM pg_settings")
    for name in (HARMFUL.keys() & set(known)) - set(UNBEARABLE):
        stock.rows(f"ALTER ROLE maker SET {name} = '{HARMFUL[name][0]}'")
    yield stock
    stock.rows("ALTER ROLE maker RESET ALL")


def own_session(url: str) -> Connection:
    return connect(make_url(url).set(drivername="postgresql+psycopg"), setting="S")


def test_no_setting_of_a_role_is_that_of_an_own_session(strange: Stock) -> None:
    for name in UNBEARABLE:
        strange.rows(f"ALTER ROLE maker SET {name} = '{HARMFUL[name][0]}'")

    with closing(own_session(strange.url("postgres", "maker"))) as connection:
        values = connection.execute("SELECT name, setting FROM pg_settings").fetchall()
        texts = connection.execute("SELECT 'ä', U&'\\20AC'").fetchone()

    found: dict[str, str] = dict(values)  # type: ignore[arg-type]
    expected = {name: own for name, (_, own) in HARMFUL.items() if name in found}
    assert {name: found[name] for name in expected} == expected
    assert texts == ("ä", "€")


def test_a_run_with_commits_of_a_role_with_strange_settings(
    strange: Stock, project: Project
) -> None:
    project.write(models=MODELS + PRECISE, test_it=TESTS)

    outcome = project.pytest(DATABASE_URL=strange.url("own", "maker"), PGCLIENTENCODING="LATIN1")

    assert outcome.counts() == {"passed": 3}, outcome.text
    assert "not as it was" not in outcome.text


def test_what_such_a_role_has_not_committed_is_copied_exactly(
    strange: Stock, project: Project
) -> None:
    project.write(models=MODELS + PRECISE, test_it=TESTS.replace('3, "1h"', '2, "0"'))

    outcome = project.pytest(
        "--testbed-isolation=rollback",
        "--keep-failed-db",
        DATABASE_URL=strange.url("own", "maker"),
        PGCLIENTENCODING="LATIN1",
    )

    assert outcome.counts() == {"passed": 2, "failed": 1}, outcome.text
    [name] = [one for one in strange.databases() if one.startswith("own_test")]
    assert strange.rows("SELECT title FROM book ORDER BY 1", name) == ["ä", "ö"]
    assert strange.rows("SELECT number FROM precise", name) == [-(0.1 + 0.2)]
    copied = strange.rows("SELECT ROW(day, span, bytes)::text FROM precise", name)
    assert copied == [r'(2026-02-01,"-1 days +02:03:04","\\x00ff")']


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pooler_that_moves_sessions_is_refused(stock: Stock, mode: str) -> None:
    with pooler(stock, mode) as between, pytest.raises(ServerError) as refused:
        own_session(between.url("postgres", "maker"))
    assert "gives each transaction another session" in str(refused.value)
    assert "pool_mode = session" in str(refused.value)


def test_a_run_through_a_pooler_that_leaves_sessions_alone(stock: Stock, project: Project) -> None:
    project.write(models=MODELS + PRECISE, test_it=TESTS.replace('"1h"', '"0"'))
    with pooler(stock, "session") as between:
        url = between.url("own", "maker")
        outcome = project.pytest("--testbed-isolation=commit", DATABASE_URL=url)
        flask = ["-m", "flask", "--app", "toyapp", "test-db"]
        done: list[Any] = [
            project.run(*flask, *words, DATABASE_URL=url)
            for words in (["create"], ["snapshot", "save", "one"], ["drop"], ["prune"])
        ]

    assert outcome.counts() == {"passed": 3}, outcome.text
    assert [one.status for one in done] == [0] * 4, [one.text for one in done]
