"""Every way to the database: engines, pools and connections, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool, StaticPool

from tests.support.scenarios.environment import Environment, attempt, execute, insert, teams
from tests.support.scenarios.scenario import Refused, scenario
from tests.support.scenarios.toy import Team, db

Make = Callable[[Environment], Engine]


@scenario(11, sees=["begin", "connect", "raw", "session"])
def test_a_connection_keeps_what_it_commits_and_nothing_else(env: Environment) -> list[str]:
    with env.engine.connect() as connection:
        insert(connection, "lost")
    with env.engine.connect() as connection:
        insert(connection, "connect")
        connection.commit()
    with env.engine.begin() as connection:
        insert(connection, "begin")
    raw = env.raw()
    raw.cursor().execute("INSERT INTO team (name) VALUES ('raw')")
    raw.commit()
    raw.cursor().execute("INSERT INTO team (name) VALUES ('lost')")
    raw.close()
    with Session(env.engine) as session:
        session.add(Team(name="session"))
        session.commit()
    return env.names()


@scenario(11, sees=[False, True, [7], False])
def test_tables_are_made_inspected_and_dropped(env: Environment) -> list[Any]:
    extra = sa.Table("extra", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))
    seen: list[Any] = ["extra" in sa.inspect(env.engine).get_table_names()]
    extra.metadata.create_all(env.engine)
    seen.append("extra" in sa.inspect(env.engine).get_table_names())
    with env.engine.begin() as connection:
        connection.execute(extra.insert().values(id=7))
    seen.append(env.rows("SELECT id FROM extra"))
    extra.metadata.drop_all(env.engine)
    return [*seen, "extra" in sa.inspect(env.engine).get_table_names()]


@scenario(11, sees=[["red"], ["red"]])
def test_a_second_application_shares_the_database(env: Environment) -> list[Any]:
    with env.second_app() as second, second.app_context():
        db.session.add(Team(name="red"))
        db.session.commit()
        seen = list(db.session.scalars(sa.select(Team.name)))
    return [seen, env.names()]


@scenario(12, sees=[["a"], ["a", "b"], "a lost"])
def test_an_engine_that_is_disposed_of_connects_again(env: Environment) -> list[Any]:
    env.add("a")
    held = env.connect()
    insert(held, "held")
    env.engine.dispose()
    held.rollback()
    seen = [env.names()]
    env.engine.dispose()
    env.add("b")
    seen.append(env.names())
    # It goes back to a pool that nobody has any more.
    held.invalidate()
    return [*seen, "a lost" if "held" not in env.names() else "held"]


@scenario(12, sees=[["a"], ["a", "b"]])
def test_a_detached_connection_keeps_its_transaction(env: Environment) -> list[Any]:
    with env.engine.connect() as connection:
        connection.detach()
        insert(connection, "a")
        connection.commit()
        seen = env.names()
        insert(connection, "b")
        connection.commit()
        insert(connection, "lost")
    return [seen, env.names()]


def _null_pool(env: Environment) -> Engine:
    return env.own_engine(poolclass=NullPool)


def _static_pool(env: Environment) -> Engine:
    return env.own_engine(poolclass=StaticPool)


def _pre_ping(env: Environment) -> Engine:
    return env.own_engine(pool_pre_ping=True, pool_size=1, max_overflow=0)


def _own(env: Environment) -> Engine:
    return env.own_engine()


@scenario(12, sees=[["a"], ["a"], ["a", "b"]], each=[_null_pool, _static_pool, _pre_ping, _own])
def test_the_pool_does_not_matter(env: Environment, make: Make) -> list[Any]:
    engine = make(env)
    with engine.begin() as connection:
        insert(connection, "a")
    with engine.connect() as connection:
        insert(connection, "lost")
    with engine.connect() as connection:
        seen = [teams(connection)]
    engine.dispose()
    seen.append(env.names())
    with engine.begin() as connection:
        insert(connection, "b")
    return [*seen, env.names()]


@scenario(12, sees=["connect", "checkout", "begin", "commit", "reset", "checkin"])
def test_events_of_the_pool_come_in_their_order(env: Environment) -> list[str]:
    engine = env.own_engine()
    seen: list[str] = []
    for name in ("connect", "checkout", "begin", "commit", "rollback", "reset", "checkin"):
        sa.event.listen(engine, name, lambda *_, name=name, **__: seen.append(name))
    with engine.begin() as connection:
        insert(connection, "a")
    return [name for name in seen if name != "rollback"]


@scenario(12, sees=["0", "1s"])
def test_what_a_pool_sets_on_its_connections_holds(env: Environment) -> list[str]:
    before = env.rows("SHOW statement_timeout")
    engine = env.own_engine()

    @sa.event.listens_for(engine, "connect")
    def set_timeout(connection: Any, _: Any) -> None:
        connection.execute("SET statement_timeout = '1s'")
        connection.commit()

    with engine.connect() as connection:
        return [*before, str(connection.scalar(sa.text("SHOW statement_timeout")))]


def _by_option(env: Environment) -> Engine:
    return env.engine.execution_options(isolation_level="AUTOCOMMIT")


def _by_engine(env: Environment) -> Engine:
    return env.own_engine(isolation_level="AUTOCOMMIT")


def _by_option_of_engine(env: Environment) -> Engine:
    return env.own_engine(execution_options={"isolation_level": "AUTOCOMMIT"})


@scenario(
    13,
    sees=[["a"], "IntegrityError 23505", ["a", "b"], ["a", "b"], ["a", "b", "c"]],
    each=[_by_option, _by_engine, _by_option_of_engine],
)
def test_in_autocommit_an_error_undoes_one_statement(env: Environment, make: Make) -> list[Any]:
    engine = make(env)
    with engine.connect() as connection:
        insert(connection, "a")
        seen: list[Any] = [env.names(), attempt(insert, connection, "a")]
        insert(connection, "b")
        seen.append(env.names())
        connection.rollback()
        seen.append(env.names())
    with env.engine.connect() as connection:
        # The next that gets the connection of the pool has a transaction.
        insert(connection, "lost")
    env.add("c")
    return [*seen, env.names()]


@scenario(13, sees=[["a"], ["a"], ["a", "c"]])
def test_a_raw_connection_changes_to_autocommit_and_back(env: Environment) -> list[Any]:
    raw = env.raw()
    connection: Any = raw.dbapi_connection
    connection.autocommit = True
    connection.execute("INSERT INTO team (name) VALUES ('a')")
    seen = [env.names()]
    connection.autocommit = False
    connection.execute("INSERT INTO team (name) VALUES ('b')")
    connection.rollback()
    seen.append(env.names())
    connection.execute("INSERT INTO team (name) VALUES ('c')")
    connection.commit()
    return [*seen, env.names()]


@scenario(13, sees=["UniqueViolation 23505", ["a"]])
def test_several_statements_in_autocommit_are_one_transaction(env: Environment) -> list[Any]:
    connection: Any = env.raw().dbapi_connection
    connection.autocommit = True
    connection.execute("INSERT INTO team (name) VALUES ('a')")
    double = "INSERT INTO team (name) VALUES ('b'); INSERT INTO team (name) VALUES ('a')"
    error = attempt(connection.execute, double)
    connection.autocommit = False
    return [error, env.names()]


@scenario(13, sees=["IntegrityError 23503", [], 1])
def test_in_autocommit_a_deferred_key_is_checked_at_once(env: Environment) -> list[Any]:
    with _by_option(env).connect() as connection:
        dangling = "INSERT INTO member (team_id) VALUES (99)"
        error = attempt(execute, connection, dangling)
        seen = env.rows("SELECT id FROM member")
        insert(connection, "a")
        execute(connection, "INSERT INTO member (team_id) SELECT id FROM team")
    return [error, seen, len(env.rows("SELECT id FROM member"))]


@scenario(17, sees=[["own"], ["ours", "own"]])
def test_an_engine_for_the_applications_own_url_leads_to_the_same_database(
    env: Environment,
) -> list[Any]:
    with env.own_engine().begin() as connection:
        insert(connection, "own")
    seen = env.names()
    shown = sa.create_engine(env.app.config["SQLALCHEMY_DATABASE_URI"], poolclass=NullPool)
    with shown.begin() as connection:
        insert(connection, "ours")
    return [seen, env.names()]


@scenario(20, sees=["OperationalError 57P01", ["before"], ["after", "before"]], rollback=Refused)
def test_a_backend_that_is_killed_is_replaced(env: Environment) -> list[Any]:
    env.add("before")
    connection = env.connect()
    insert(connection, "lost")
    pid = connection.scalar(sa.text("SELECT pg_backend_pid()"))
    env.outside().execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    error = attempt(insert, connection, "lost too")
    connection.rollback()
    seen = env.names()
    env.add("after")
    return [error, seen, env.names()]


@scenario(20, sees=[["before"], ["after", "before"]], rollback=Refused)
def test_an_idle_backend_that_is_killed_is_found_by_the_ping(env: Environment) -> list[Any]:
    engine = _pre_ping(env)
    with engine.begin() as connection:
        insert(connection, "before")
        pid = connection.scalar(sa.text("SELECT pg_backend_pid()"))
    env.outside().execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    with engine.begin() as connection:
        seen = teams(connection)
        insert(connection, "after")
    return [seen, env.names()]


@scenario(20, sees=[["before"], ["after", "before"]])
def test_a_connection_that_is_invalidated_loses_its_transaction(env: Environment) -> list[Any]:
    env.add("before")
    connection = env.connect()
    insert(connection, "lost")
    connection.invalidate()
    connection.rollback()
    seen = teams(connection)
    insert(connection, "after")
    connection.commit()
    return [seen, env.names()]


@scenario(20, sees=["OperationalError", ["before"]])
def test_a_raw_connection_that_is_closed_is_closed(env: Environment) -> list[Any]:
    env.add("before")
    with env.engine.connect() as connection:
        driver: psycopg.Connection[Any] = connection.connection.dbapi_connection
        driver.execute("INSERT INTO team (name) VALUES ('lost')")
        driver.close()
        error = attempt(driver.execute, "SELECT 1")
        connection.invalidate()
    return [error, env.names()]


@scenario(21, sees=[["other"], ["default", "other"], ["default", "other"]])
def test_a_bind_to_the_same_database_shares_it(env: Environment) -> list[Any]:
    with env.second_app(binds=True) as app, app.app_context():
        default, other = db.engines[None], db.engines["other"]
        with other.begin() as connection:
            insert(connection, "other")
        with default.begin() as connection:
            seen = [teams(connection)]
            insert(connection, "default")
        with other.connect() as connection:
            seen.append(teams(connection))
    return [*seen, env.names()]
