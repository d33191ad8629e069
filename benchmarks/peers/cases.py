"""Ways to isolate a test of one insert and one select, each on a database of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Engine, create_engine, select, text
from sqlalchemy.orm import Session

from benchmarks.peers.models import INSTANCE, Shelf, add_tables, db, make_app
from benchmarks.peers.runner import Test
from flask_testbed.application.databases import database_of
from flask_testbed.application.target import target_of
from flask_testbed.embedded.server import EmbeddedServer
from flask_testbed.isolation.mode import Isolation, Mode
from flask_testbed.postgres.cluster import Cluster
from flask_testbed.postgres.connecting import connect_parameters
from flask_testbed.sandbox.sandbox import Sandbox

Cases = Iterator[tuple[Test, Callable[[], None]]]


def server() -> Cluster:
    """The embedded server; closing the result releases it."""
    embedded = EmbeddedServer(INSTANCE, "test")
    return Cluster(embedded.url("postgres"), "the embedded server", embedded)


@contextmanager
def database(name: str) -> Iterator[Cluster]:
    """An empty database of that name, dropped at the end; the result's URL leads to it."""
    with closing(server()) as cluster:
        identifier = sql.Identifier(name)
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier)
        cluster.connection.execute(drop)
        cluster.connection.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
        cluster.url = cluster.url.set(database=name)
        try:
            yield cluster
        finally:
            cluster.connection.execute(drop)


@contextmanager
def filled(name: str, tables: int) -> Iterator[tuple[Cluster, Engine]]:
    """A database of the models, and an engine for it."""
    add_tables(tables)
    with database(f"benchmark_{name}") as cluster:
        engine = create_engine(cluster.url)
        db.metadata.create_all(engine)
        yield cluster, engine
        engine.dispose()


def vacuum(engine: Engine) -> Callable[[], None]:
    """Do what autovacuum would do, which the embedded server has switched off."""

    def run() -> None:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM"))

    return run


def one_test(bind: Engine | Connection, number: int) -> None:
    """Insert a row, commit, and select it: what a test does, whatever isolates it."""
    with Session(bind, join_transaction_mode="create_savepoint") as session:
        session.add(Shelf(name=f"shelf {number}"))
        session.commit()
        shelf = session.scalars(select(Shelf).where(Shelf.name == f"shelf {number}")).one()
        assert shelf.made


@contextmanager
def no_isolation(tables: int) -> Cases:
    """The base: the rows stay."""
    with filled("base", tables) as (_, engine):
        yield lambda number: one_test(engine, number), vacuum(engine)


@contextmanager
def bare(tables: int) -> Cases:
    """The floor: the same statements, by psycopg alone, and the rows stay."""
    with filled("bare", tables) as (cluster, engine):
        with psycopg.connect(**connect_parameters(cluster.url)) as connection:

            def test(number: int) -> None:
                name = f"shelf {number}"
                connection.execute("INSERT INTO shelf (name) VALUES (%s) RETURNING id", [name])
                connection.commit()
                query = "SELECT id, name, made FROM shelf WHERE name = %s"
                assert connection.execute(query, [name]).fetchone()
                connection.rollback()

            yield test, vacuum(engine)
        connection.close()


def _sandbox(mode: Mode, tables: int) -> Cases:
    add_tables(tables)
    app = make_app()
    database = database_of(app)
    sandbox = Sandbox(database, target_of(database))
    sandbox.begin(Isolation(mode))
    sandbox.redirect(database)
    engine = database.route.engine

    def test(number: int) -> None:
        one_test(engine, number)
        sandbox.reset()

    try:
        # Nothing is done for the engine that others have done for them.
        yield test, lambda: None
    finally:
        sandbox.close()


@contextmanager
def commit(tables: int) -> Cases:
    """The engine's: what was committed is put back."""
    yield from _sandbox("commit", tables)


@contextmanager
def rollback(tables: int) -> Cases:
    """The engine's: what was committed never was."""
    yield from _sandbox("rollback", tables)


@contextmanager
def delete(tables: int) -> Cases:
    """DELETE from each table, children first."""
    with filled("delete", tables) as (_, engine):
        doomed = [table.delete() for table in reversed(db.metadata.sorted_tables)]

        def test(number: int) -> None:
            one_test(engine, number)
            with engine.begin() as connection:
                for statement in doomed:
                    connection.execute(statement)

        yield test, vacuum(engine)


@contextmanager
def truncate(tables: int) -> Cases:
    """TRUNCATE all tables, in one statement."""
    with filled("truncate", tables) as (_, engine):
        names = ", ".join(db.metadata.tables)
        statement = text(f"TRUNCATE {names} RESTART IDENTITY CASCADE")

        def test(number: int) -> None:
            one_test(engine, number)
            with engine.begin() as connection:
                connection.execute(statement)

        yield test, vacuum(engine)


@contextmanager
def clone(tables: int) -> Cases:
    """A clone of a template for each test, by a copy of its files."""
    with filled("template", tables) as (cluster, engine):
        engine.dispose()
        administrator = cluster.connect("postgres")
        clone_engine = create_engine(cluster.url.set(database="benchmark_clone"))

        def drop() -> None:
            administrator.execute("DROP DATABASE IF EXISTS benchmark_clone")

        def test(number: int) -> None:
            administrator.execute(
                "CREATE DATABASE benchmark_clone TEMPLATE benchmark_template STRATEGY FILE_COPY"
            )
            one_test(clone_engine, number)
            clone_engine.dispose()
            drop()

        drop()
        yield test, lambda: None
        administrator.close()


@contextmanager
def recreate(tables: int) -> Cases:
    """``create_all()`` before the test, and ``drop_all()`` after it."""
    with filled("recreate", tables) as (_, engine):
        db.metadata.drop_all(engine)

        def test(number: int) -> None:
            db.metadata.create_all(engine)
            one_test(engine, number)
            db.metadata.drop_all(engine)

        yield test, vacuum(engine)


@contextmanager
def savepoints(tables: int) -> Cases:
    """A session that is joined to a transaction of the test's, as SQLAlchemy documents it.

    https://docs.sqlalchemy.org/en/20/orm/session_transaction.html#joining-a-session-into-an-external-transaction-such-as-for-test-suites
    """
    with filled("savepoints", tables) as (_, engine):

        def test(number: int) -> None:
            with engine.connect() as connection, connection.begin() as transaction:
                one_test(connection, number)
                transaction.rollback()

        yield test, vacuum(engine)
