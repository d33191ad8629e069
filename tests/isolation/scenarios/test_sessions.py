"""What a session knows beside its rows: time, settings, locks, sequences, messages."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.orm import Session

from tests.support.scenarios.environment import Environment, attempt, execute, insert, teams
from tests.support.scenarios.scenario import Differs, Refused, scenario


def _one(env: Environment, expression: str) -> Any:
    return env.rows(f"SELECT {expression}")[0]


@scenario(
    22,
    sees=True,
    rollback=Differs(False),
    each=["now()", "txid_current()", "current_timestamp", "pg_current_xact_id()::text"],
)
def test_each_transaction_has_a_time_and_a_number(env: Environment, expression: str) -> bool:
    return bool(_one(env, expression) != _one(env, expression))


@scenario(22, sees=[True, True], each=["clock_timestamp()", "statement_timestamp()"])
def test_the_clock_moves(env: Environment, expression: str) -> list[bool]:
    with env.engine.connect() as connection:
        first = connection.scalar(sa.text(f"SELECT {expression}"))
        second = connection.scalar(sa.text(f"SELECT {expression}"))
    return [first < second, second < _one(env, expression)]


@scenario(
    23,
    sees=["7s", "0", "0"],
    each=[
        "SET LOCAL statement_timeout = '7s'",
        "SELECT set_config('statement_timeout', '7s', true)",
        "SELECT 1; SET LOCAL statement_timeout = '7s'",
    ],
)
def test_set_local_ends_with_its_transaction(env: Environment, statement: str) -> list[Any]:
    seen = []
    with env.engine.connect() as connection:
        connection.exec_driver_sql(statement)
        seen.append(connection.scalar(sa.text("SHOW statement_timeout")))
        connection.commit()
        seen.append(connection.scalar(sa.text("SHOW statement_timeout")))
        connection.exec_driver_sql(statement)
        connection.rollback()
        return [*seen, connection.scalar(sa.text("SHOW statement_timeout"))]


@scenario(23, sees=["7s", "9s", "7s", "0"])
def test_set_local_in_a_savepoint(env: Environment) -> list[Any]:
    def shown() -> Any:
        return connection.scalar(sa.text("SHOW statement_timeout"))

    with env.engine.connect() as connection:
        execute(connection, "SET LOCAL statement_timeout = '7s'")
        seen = [shown()]
        with connection.begin_nested() as inner:
            execute(connection, "SET LOCAL statement_timeout = '9s'")
            seen.append(shown())
            inner.rollback()
        seen.append(shown())
        connection.commit()
        return [*seen, shown()]


_SETTERS = """
CREATE FUNCTION set_timeout() RETURNS void LANGUAGE plpgsql AS $$
    BEGIN PERFORM set_config('statement_timeout', '7s', true); END $$;
CREATE FUNCTION set_timeout_in_sql() RETURNS text LANGUAGE sql BEGIN ATOMIC
    SELECT set_config('statement_timeout', '7s', true); END;
CREATE FUNCTION set_timeout_of_seat() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN EXECUTE format('SET LOCAL statement_timeout = %L', '7s'); RETURN new; END $$;
CREATE FUNCTION set_any(name text, value text) RETURNS text LANGUAGE sql
    AS $$ SELECT set_config(name, value, true) $$;
CREATE FUNCTION call_another() RETURNS void LANGUAGE plpgsql AS $$
    BEGIN PERFORM set_timeout(); END $$;
CREATE TRIGGER on_insert BEFORE INSERT ON seat FOR EACH ROW EXECUTE FUNCTION set_timeout_of_seat()
"""


@scenario(
    23,
    sees=[["7s", "0"], ["7s", "0"], ["7s", "0"]],
    each=[
        "SELECT set_timeout()",
        "SELECT set_timeout_in_sql()",
        "SELECT set_any('statement_timeout', '7s')",
        "SELECT call_another()",
        "INSERT INTO seat (number) VALUES (7)",
        "DO $$ BEGIN EXECUTE 'SET LOCAL statement_timeout = ''7s'''; END $$",
    ],
)
def test_a_function_sets_something_locally(env: Environment, statement: str) -> list[Any]:
    """Whether its transaction writes or not, and however it ends."""
    raw: Any = env.raw()
    raw.dbapi_connection.execute(_SETTERS)
    raw.commit()
    show = sa.text("SHOW statement_timeout")
    seen = []
    with env.engine.connect() as connection:
        for ends, writes in (("commit", False), ("rollback", True), ("commit", True)):
            connection.exec_driver_sql(statement)
            if writes:
                execute(connection, "UPDATE country SET code = code")
            timeout = connection.scalar(show)
            getattr(connection, ends)()
            seen.append([timeout, connection.scalar(show)])
            connection.exec_driver_sql("DELETE FROM seat")
            connection.commit()
    return seen


@scenario(
    23,
    sees=["changed", "as before"],
    each=[
        ("TimeZone", "SET LOCAL TIME ZONE 'Asia/Tokyo'"),
        ("search_path", "SET LOCAL SCHEMA 'pg_catalog'"),
        ("role", "SELECT set_config('role', current_user, true)"),
        ("app.tenant", "SET LOCAL app.tenant = 'it''s \\ \"one\"'"),
        ("app.tenant", "SELECT set_config('app.tenant', 'one', true)"),
    ],
)
def test_a_writer_sets_something_locally(env: Environment, variant: tuple[str, str]) -> list[str]:
    name, statement = variant
    show = sa.text("SELECT coalesce(current_setting(:name, true), '')").bindparams(name=name)
    with env.engine.connect() as connection:
        before = connection.scalar(show)
        connection.exec_driver_sql("INSERT INTO public.team (name) VALUES ('a')")
        connection.exec_driver_sql(statement)
        during = connection.scalar(show)
        connection.commit()
        after = connection.scalar(show)
    return ["changed" if value != before else "as before" for value in (during, after)]


def _tenant(session: Session) -> Any:
    return session.scalar(sa.text("SELECT coalesce(current_setting('app.tenant', true), '')"))


def _session_of(env: Environment, tenant: str) -> Session:
    """A session that tells the server its tenant, as guides to row level security have it."""
    session = env.session()

    @sa.event.listens_for(session, "after_begin")
    def tell(_: Session, __: Any, connection: sa.Connection) -> None:
        connection.execute(sa.select(sa.func.set_config("app.tenant", tenant, True)))

    return session


@scenario(23, sees=[["a", "b"], ["a", "b"], ["a", "b"], ["by b"], "", "a"])
def test_each_session_has_a_tenant(env: Environment) -> list[Any]:
    """A setting that is local is no write: a reader is in nobody's way."""
    a, b = _session_of(env, "a"), _session_of(env, "b")
    seen: list[Any] = [[_tenant(a), _tenant(b)]]
    insert(b, "by b")
    seen.append([_tenant(a), _tenant(b)])
    b.commit()
    seen.append([_tenant(a), _tenant(b)])
    a.rollback()
    b.rollback()
    plain = env.session()
    seen += [teams(plain), _tenant(plain)]
    plain.rollback()
    insert(a, "by a")
    a.commit()
    return [*seen, _tenant(a)]


@scenario(23, sees=["a", "b", "", "a", ["by a"]])
def test_a_writer_keeps_its_tenant_while_others_read(env: Environment) -> list[Any]:
    a, b, plain = _session_of(env, "a"), _session_of(env, "b"), env.session()
    insert(a, "by a")
    seen = [_tenant(a), _tenant(b), _tenant(plain), _tenant(a)]
    b.rollback()
    plain.rollback()
    a.commit()
    return [*seen, env.names()]


@scenario(23, sees=["7s", "8s", "8s"])
def test_a_setting_of_the_session_outlives_its_transaction(env: Environment) -> list[Any]:
    seen = []
    show = sa.text("SHOW statement_timeout")
    with env.engine.connect() as connection:
        for value in ("7s", "8s"):
            connection.execute(sa.select(sa.func.set_config("statement_timeout", value, False)))
            connection.commit()
            seen.append(connection.scalar(show))
            connection.commit()
        connection.execute(sa.select(sa.func.set_config("statement_timeout", "9s", False)))
        connection.rollback()
        return [*seen, connection.scalar(show)]


#: What leaves a trace in a session.
TRACES = [
    "SET statement_timeout = '7s'",
    "SET search_path = pg_catalog, public",
    "SET TIME ZONE 'Asia/Tokyo'",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "SELECT set_config('work_mem', '1MB', false)",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_lock_shared(1, 2)",
    "CREATE TEMPORARY TABLE mine (id int)",
    "SELECT 1 AS id INTO TEMP mine",
    "CREATE TEMP SEQUENCE counting",
    "LISTEN mine",
    "RESET ALL; SET application_name = 'mine'; SET lock_timeout = '1s'",
]


@scenario(24, sees=[], each=TRACES)
def test_a_session_is_as_new_for_the_next_test(env: Environment, statement: str) -> list[str]:
    """What it left would be found by the check that follows each scenario."""
    with env.engine.connect() as connection:
        connection.exec_driver_sql(statement)
        connection.commit()
    return []


#: What leaves a trace in the driver's connection.
ATTRIBUTES: list[tuple[str, Any]] = [
    ("autocommit", True),
    ("isolation_level", psycopg.IsolationLevel.SERIALIZABLE),
    ("read_only", True),
    ("deferrable", True),
    ("row_factory", psycopg.rows.dict_row),
    ("cursor_factory", psycopg.ClientCursor),
    ("prepare_threshold", None),
]


@scenario(24, sees=[], each=ATTRIBUTES)
def test_a_connection_is_as_new_for_the_next_test(
    env: Environment, attribute: tuple[str, Any]
) -> list[str]:
    """What it left would be found by the check that follows each scenario."""
    raw = env.raw()
    raw.cursor().execute("SELECT 1")
    raw.rollback()
    setattr(raw.dbapi_connection, *attribute)
    raw.close()
    return []


def _register(connection: Any) -> None:
    psycopg.types.TypeInfo("of_a_test", 123456, 0).register(connection)
    connection.execute("SELECT 1")


def _many_times(connection: Any) -> None:
    connection.cursor().executemany("SELECT set_config('work_mem', %s, false)", [["1MB"]])


def _with_hold(connection: Any) -> None:
    with warnings.catch_warnings(action="ignore"):  # the cursor is not closed
        connection.cursor("held", withhold=True).execute("SELECT 1")


Act = Callable[[Any], None]


@scenario(24, sees=[], each=[_register, _many_times, _with_hold])
def test_whatever_cursor_leaves_a_trace(env: Environment, act: Act) -> list[str]:
    """What it left would be found by the check that follows each scenario."""
    raw = env.raw()
    act(raw.dbapi_connection)
    raw.commit()
    raw.close()
    return []


@scenario(24, sees=[], rollback=Refused)
def test_a_cursor_that_is_made_by_its_class(env: Environment) -> list[str]:
    with closing(env.raw()) as raw:
        connection: Any = raw.dbapi_connection
        psycopg.ClientCursor(connection).execute("SET statement_timeout = '7s'")
        raw.commit()
    return []


@scenario(
    24,
    sees=[[1], ["mine"], "ProgrammingError 42P01"],
    rollback=Differs([[1], ["mine"], [(1,)]]),
)
def test_a_temporary_table_belongs_to_its_session(env: Environment) -> list[Any]:
    first, second = env.connect(), env.connect()
    execute(first, "CREATE TEMPORARY TABLE mine AS SELECT 1 AS id")
    first.commit()
    seen = [list(first.scalars(sa.text("SELECT id FROM mine")))]
    names = sa.text("SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()")
    seen.append(list(first.scalars(names)))
    first.rollback()
    return [*seen, attempt(execute, second, "SELECT id FROM mine")]


@scenario(24, sees=[True, False, True], rollback=Differs([True, True, True]))
def test_an_advisory_lock_of_a_session(env: Environment) -> list[Any]:
    first, second = env.connect(), env.connect()
    lock = sa.text("SELECT pg_try_advisory_lock(7)")
    seen = [first.scalar(lock)]
    first.commit()
    seen.append(second.scalar(lock))
    first.scalar(sa.text("SELECT pg_advisory_unlock(7)"))
    return [*seen, second.scalar(lock)]


@scenario(25, sees=[True, False, True], rollback=Differs([True, True, True]))
def test_an_advisory_lock_of_a_transaction(env: Environment) -> list[Any]:
    first, second = env.connect(), env.connect()
    lock = sa.text("SELECT pg_try_advisory_xact_lock(7)")
    seen = [first.scalar(lock), second.scalar(lock)]
    second.rollback()
    first.commit()
    return [*seen, second.scalar(lock)]


@scenario(26, sees=[1, 2, 3])
def test_a_sequence_does_not_go_back(env: Environment) -> list[Any]:
    """By number from the first one: in rollback mode it goes on from the last test."""
    numbers = [_one(env, "nextval('plain_ticket')")]  # rolled back
    with env.engine.begin() as connection:
        numbers.append(connection.scalar(sa.text("SELECT nextval('plain_ticket')")))
    numbers.append(_one(env, "nextval('plain_ticket')"))
    return [number - numbers[0] + 1 for number in numbers]


@scenario(26, sees=[1, 1, 51])
def test_keys_begin_anew_with_each_test(env: Environment) -> list[Any]:
    env.start_sequences_anew()
    ticket = _one(env, "nextval('plain_ticket')")
    env.add("a")
    key = env.rows("SELECT id FROM team")[0]
    _one(env, "setval('plain_ticket', 50)")
    return [ticket, key, _one(env, "nextval('plain_ticket')")]


@scenario(26, sees=[1, 2])
def test_a_sequence_that_caches_begins_anew_with_each_test(env: Environment) -> list[Any]:
    env.start_sequences_anew()
    with env.engine.begin() as connection:
        return [connection.scalar(sa.text("SELECT nextval('ticket')")) for _ in range(2)]


@scenario(28, sees=[["hello"], []], rollback=Differs([[], []]))
def test_a_notification_comes_with_the_commit(env: Environment) -> list[Any]:
    connection: Any = env.raw().dbapi_connection

    def heard(seconds: float) -> list[str]:
        return [one.payload for one in connection.notifies(timeout=seconds, stop_after=1)]

    connection.execute("LISTEN news")
    connection.commit()
    env.commit("SELECT pg_notify('news', 'hello')")
    seen = [heard(1)]
    with env.engine.connect() as other:
        execute(other, "NOTIFY news, 'never'")
    return [*seen, heard(0.1)]


@scenario(
    34,
    sees="ProgrammingError 42P01",
    rollback=Differs([]),
    each=["CREATE TEMP TABLE mine (id int) ON COMMIT DROP"],
)
def test_a_table_that_is_dropped_with_the_commit(env: Environment, statement: str) -> Any:
    connection = env.connect()
    execute(connection, statement)
    connection.commit()
    return attempt(execute, connection, "SELECT id FROM mine")


@scenario(34, sees=[[(1,)], []], rollback=Differs([[(1,)], [(1,)]]))
def test_a_table_that_is_emptied_with_the_commit(env: Environment) -> list[Any]:
    connection = env.connect()
    execute(connection, "CREATE TEMP TABLE mine (id int) ON COMMIT DELETE ROWS")
    execute(connection, "INSERT INTO mine VALUES (1)")
    seen = [execute(connection, "SELECT id FROM mine")]
    connection.commit()
    return [*seen, execute(connection, "SELECT id FROM mine")]
