"""Faults that the engine once had."""

from __future__ import annotations

import gc
import json
import os
import socket
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

from flask_testbed.application.databases import database_of
from flask_testbed.application.gate import gate
from flask_testbed.application.routes import Destination
from flask_testbed.application.target import parse_url
from flask_testbed.embedded import folders
from flask_testbed.embedded.server import EmbeddedServer
from flask_testbed.errors import ServerError, SettingsError
from flask_testbed.postgres.addresses import is_same_database
from flask_testbed.postgres.connecting import connect, connect_parameters, shown
from tests.support.embedded import start_user, wait_until_up
from tests.support.migrations import MIGRATION, migrated, write_migrations
from tests.support.processes import Python, assert_no_password, finish
from tests.support.projects import Project, write_manage
from tests.support.servers import Stock, clear_away, rough_folder
from tests.support.toys import Toys, toy_db
from tests.support.waiting import wait_for


@pytest.mark.parametrize(
    "query",
    [
        "dbname=production",
        "dbname=production&sslmode=disable",
        "host=elsewhere",
        "port=6000",
        "user=somebody",
        "service=production",
        "hostaddr=10.0.0.1",
    ],
)
def test_a_query_does_not_lead_elsewhere_than_the_url_says(query: str) -> None:
    """libpq takes these from the query of a URL, whatever stands before it."""
    try:
        url = parse_url(f"postgresql://ada@here:5432/x_test?{query}", "TEST_DATABASE_URL")
    except SettingsError:
        return
    leads_to = connect_parameters(url)
    assert leads_to["dbname"] == url.database
    assert leads_to["host"] == url.host
    assert int(leads_to["port"]) == url.port
    assert leads_to["user"] == url.username
    assert not leads_to.keys() & {"service", "hostaddr"}


# Commands


def test_url_is_one_that_another_tool_takes(stock: Stock, toys: Toys) -> None:
    outcome = toys.run(toys.app(stock.url("own")), "test-db", "url")

    assert outcome.out == f"postgresql://boss@127.0.0.1:{stock.port}/own_test\n"


def test_shell_gets_the_password(stock: Stock, project: Project) -> None:
    flask = ("-m", "flask", "--app", "toyapp", "test-db")
    project.run(*flask, "create", DATABASE_URL=stock.url("own"))

    outcome = project.run(*flask, "shell", "--", "-Atc", "SELECT 42", DATABASE_URL=stock.url("own"))

    assert (outcome.status, outcome.out) == (0, "42\n"), outcome.text


@pytest.mark.parametrize("query", ["password=geheim", "sslpassword=geheim"])
def test_no_password_of_a_query_is_printed(
    toys: Toys, environment: pytest.MonkeyPatch, query: str
) -> None:
    environment.setenv("TEST_DATABASE_URL", f"postgresql://ada@h/x_test?{query}")

    assert_no_password(toys.run(toys.app("postgresql://h/own"), "test-db", "url"), "geheim")


@pytest.mark.parametrize("query", ["nonsense=1", "connect_timeout=soon", "sslmode=nonsense"])
def test_a_query_that_libpq_does_not_know_is_one_sentence(
    stock: Stock, toys: Toys, environment: pytest.MonkeyPatch, query: str
) -> None:
    environment.setenv("TEST_DATABASE_URL", stock.url("x_test") + f"?{query}")

    outcome = toys.run(toys.app("postgresql://h/own"), "test-db", "create")

    outcome.assert_says("TEST_DATABASE_URL")
    assert_no_password(outcome, stock.password)


@pytest.mark.parametrize("host", ["a..b", "x" * 70, "h%00"])
def test_a_host_that_cannot_be_is_one_sentence(
    toys: Toys, environment: pytest.MonkeyPatch, host: str
) -> None:
    environment.setenv("TEST_DATABASE_URL", f"postgresql://ada:geheim@{host}/x_test")

    outcome = toys.run(toys.app(f"postgresql://{host[:-1]}z/x_test"), "test-db", "create")

    outcome.assert_says("TEST_DATABASE_URL")


def test_an_application_on_sqlite_is_one_sentence(project: Project) -> None:
    outcome = project.run(
        "-m", "flask", "--app", "toyapp", "test-db", "create", DATABASE_URL="sqlite:///toy.db"
    )

    outcome.assert_says("sqlite")


def test_status_shows_a_database_that_it_may_not_enter(stock: Stock, toys: Toys) -> None:
    stock.create("own_test")
    stock.rows("REVOKE CONNECT ON DATABASE own_test FROM PUBLIC")

    outcome = toys.run(toys.app(stock.url("own", "maker")), "test-db", "status")

    assert outcome.status == 0
    assert "foreign" in outcome.out


@pytest.mark.parametrize(
    "other",
    ["127.0.0.2", "0.0.0.0", "localhost.", "this machine's name", "?hostaddr", "PGPORT"],
)
def test_the_applications_own_database_by_yet_other_names(
    environment: pytest.MonkeyPatch, other: str
) -> None:
    own = make_url("postgresql://localhost/x_test")
    host = socket.gethostname() if other.startswith("this") else other
    url = make_url(f"postgresql://{host}/x_test")
    if other == "?hostaddr":
        url = make_url("postgresql://elsewhere.invalid/x_test?hostaddr=127.0.0.1")
    if other == "PGPORT":
        environment.setenv("PGPORT", "5433")
        url = make_url("postgresql://localhost:5433/x_test")

    assert is_same_database(own, url)


# pytest


def test_a_refused_run_leaves_no_template(stock: Stock, project: Project) -> None:
    victim = stock.create("own_test")
    project.write(test_it="from models import add\n\ndef test_it(app):\n    add('x')\n")

    outcome = project.pytest(DATABASE_URL=stock.url("own"))

    outcome.assert_says("was not made by flask-testbed")
    victim.assert_untouched()


def test_a_killed_run_of_workers_is_mended_by_one_without(stock: Stock, project: Project) -> None:
    """And by one of another schema."""
    project.write(
        test_slow="""
            import pathlib, time, pytest
            from models import add

            @pytest.mark.parametrize("n", range(2))
            def test_slow(app, n, worker_id):
                add("x")
                pathlib.Path(f"in-the-middle-{worker_id}").touch()
                time.sleep(60)
        """,
        test_it="from models import add\n\ndef test_it(app):\n    add('x')\n",
    )
    before = stock.databases()
    environment = {"DATABASE_URL": stock.url("own")}
    killed = project.start("-m", "pytest", "-n2", "test_slow.py", **environment)
    for worker in ("gw0", "gw1"):
        wait_for((project.root / f"in-the-middle-{worker}").exists, "both workers", 40)
    for child in psutil.Process(killed.pid).children(recursive=True):
        child.kill()
    killed.kill()
    finish(killed)
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    wait_for(lambda: stock.rows(held) == [0], "the locks of a killed run to be free")
    models = (project.root / "models.py").read_text().replace("title: Mapped[str]", CHANGED)
    project.write(models=models)

    outcome = project.pytest("test_it.py", **environment)

    assert outcome.counts() == {"passed": 1}, outcome.text
    assert stock.databases() == before


CHANGED = "title: Mapped[str]\n    pages: Mapped[int | None]"


def test_a_connection_that_outlives_a_test_is_put_back_after_each(
    stock: Stock, project: Project
) -> None:
    project.write(
        test_it="""
            import pytest
            from models import db, titles

            @pytest.fixture(scope="module")
            def connection():
                from toyapp import create_app
                app = create_app()
                with app.app_context(), db.engine.connect() as connection:
                    yield connection

            @pytest.mark.parametrize("n", range(3))
            def test_it(connection, n):
                found = connection.execute(db.text("SELECT count(*) FROM book")).scalar()
                connection.execute(db.text("INSERT INTO book (title) VALUES ('x')"))
                connection.commit()
                assert found == 0
        """
    )

    outcome = project.pytest(DATABASE_URL=stock.url("own"))

    assert outcome.counts() == {"passed": 3}, outcome.text


def test_an_engine_that_the_application_makes_for_itself(stock: Stock, project: Project) -> None:
    project.write(
        test_it="""
            import pytest
            from sqlalchemy import create_engine, text

            @pytest.mark.parametrize("n", range(2))
            def test_it(app, n):
                engine = create_engine(app.config["SQLALCHEMY_DATABASE_URI"])
                with engine.begin() as connection:
                    name = connection.execute(text("SELECT current_database()")).scalar()
                    assert name == "own_test"
                    found = connection.execute(text("SELECT title FROM book")).all()
                    connection.execute(text("INSERT INTO book (title) VALUES ('x')"))
                engine.dispose()
                assert found == []

            def test_not_even_of_the_environment(app):
                import os
                url = os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:")
                engine = create_engine(url)
                with engine.connect() as connection:
                    name = connection.execute(text("SELECT current_database()")).scalar()
                engine.dispose()
                assert name == "own_test"
        """
    )
    own = stock.create("own")

    outcome = project.pytest(DATABASE_URL=stock.url("own"))

    assert outcome.counts() == {"passed": 3}, outcome.text
    own.assert_untouched()


def test_an_application_that_was_connected_before_pytest_began(
    stock: Stock, project: Project
) -> None:
    project.write(
        manage="""
            import sys, pytest
            from toyapp import create_app
            from models import db
            app = create_app()
            with app.app_context():
                print(db.session.scalar(db.text("SELECT current_database()")))
                db.session.remove()
                sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "test_it.py"]))
        """,
        conftest="""
            import pytest
            from flask import current_app

            @pytest.fixture(scope="session")
            def app():
                return current_app._get_current_object()
        """,
        test_it="""
            from models import add, db, titles

            def test_it(app):
                assert db.session.scalar(db.text("SELECT current_database()")) == "own_test"
                add("x")
        """,
    )
    # pytest warns that it cannot rewrite what is imported already.
    (project.root / "pytest.ini").write_text(
        "[pytest]\npythonpath = .\nfilterwarnings = ignore::pytest.PytestAssertRewriteWarning\n"
    )
    own = stock.create("own")

    outcome = project.run("manage.py", DATABASE_URL=stock.url("own"))

    assert outcome.out.startswith("own\n")
    assert outcome.counts() == {"passed": 1}, outcome.text
    own.assert_untouched()


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


def test_many_applications_do_not_use_up_the_server(stock: Stock, project: Project) -> None:
    project.write(
        conftest="""
            import pytest
            from toyapp import create_app

            @pytest.fixture
            def app():
                return create_app()
        """,
        test_it="""
            import pytest
            from models import titles

            @pytest.mark.parametrize("n", range(110))
            def test_it(app, n):
                assert titles() == []
        """,
    )

    outcome = project.pytest("-q", DATABASE_URL=stock.url("own"))

    assert outcome.counts() == {"passed": 110}, outcome.text[-3000:]


def test_a_reset_that_failed_is_made_up_for(stock: Stock, project: Project) -> None:
    project.write(
        test_it="""
            import psycopg
            from models import add, db, titles

            def test_ends_everybody(app):
                add("x")
                others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                others += " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                db.session.execute(db.text(others))
                db.session.commit()

            def test_first(app):
                add("y")

            def test_ends_everybody_again(app):
                test_ends_everybody(app)

            def test_last(app):
                assert titles() == []
        """
    )

    outcome = project.pytest(DATABASE_URL=stock.url("own"))

    assert outcome.counts() == {"passed": 4}, outcome.text


def test_a_conftest_that_connects_and_a_wrong_option_leave_nothing(
    stock: Stock, project: Project
) -> None:
    project.write(
        conftest="""
            from toyapp import create_app
            from models import db
            the_app = create_app()
            with the_app.app_context():
                db.create_all()
        """
    )
    before = stock.databases()

    outcome = project.pytest("--nonsense", DATABASE_URL=stock.url("own"))

    assert outcome.status == 4, outcome.text
    assert stock.databases() == before


def test_two_different_applications(project: Project, stock: Stock) -> None:
    second = (project.root / "toyapp.py").read_text().replace("models", "models2")
    models = (project.root / "models.py").read_text().replace('"book"', '"scroll"')
    project.write(
        toyapp2=second,
        models2=models,
        test_it="""
            import pytest
            import models, models2, toyapp2

            @pytest.fixture
            def other():
                return toyapp2.create_app()

            def test_both(app, other):
                models.add("book")
                with other.app_context():
                    assert models2.titles() == []
                    models2.add("scroll")
                    assert models2.titles() == ["scroll"]
                assert models.titles() == ["book"]

            def test_both_are_put_back(app, other):
                assert models.titles() == []
                with other.app_context():
                    assert models2.titles() == []
        """,
    )
    before = stock.databases()

    outcome = project.pytest(DATABASE_URL=stock.url("own"))

    assert outcome.counts() == {"passed": 2}, outcome.text
    assert stock.databases() == before


def test_test_passes_the_status_of_pytest_and_leaves_nothing(
    project: Project, stock: Stock
) -> None:
    write_manage(project)
    (project.root / "conftest.py").unlink()
    (project.root / "test_elsewhere.py").write_text("def test_it():\n    assert False\n")
    environment = {"DATABASE_URL": stock.url("own"), "FLASK_APP": "manage.py"}
    before = stock.databases()

    passed = project.run("manage.py", "test", "-q", **environment)
    failed = project.run("-m", "flask", "test", "-q", FAIL="1", **environment)
    none = project.run("-m", "flask", "test", "-k", "nonsense", **environment)

    assert passed.counts() == {"passed": 2}, passed.text
    assert passed.status == 0
    assert failed.counts() == {"passed": 1, "failed": 1}, failed.text
    assert (failed.status, none.status) == (1, 5)
    assert stock.databases() == before


# The embedded server


@pytest.fixture
def home(environment: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for embedded servers that are a test's own."""
    folder = rough_folder()
    environment.setenv("FLASK_TESTBED_HOME", str(folder))
    yield folder
    clear_away(folder)


@pytest.mark.parametrize("variable", ["PGPORT", "TMPDIR"])
def test_a_server_is_found_from_another_environment(
    home: Path, environment: pytest.MonkeyPatch, python: Python, variable: str
) -> None:
    if variable == "TMPDIR":
        environment.setenv("FLASK_TESTBED_HOME", str(home / ("x" * 75) / ("y" * 75)))
    other = {"PGPORT": "6543", "TMPDIR": str(home / "tmp")}[variable]
    (home / "tmp").mkdir(mode=0o777)
    instance = Path("/srv/regression/instance")
    users = [start_user(python, instance, **more) for more in ({variable: other}, {})]
    for user in users:
        wait_until_up(user)
    for user in users:
        user.communicate()


@pytest.mark.parametrize("name", ["a b", "a,b", "ü%20'\"?&=#", "$HOME;x"])
def test_a_folder_of_any_name(home: Path, environment: pytest.MonkeyPatch, name: str) -> None:
    environment.setenv("FLASK_TESTBED_HOME", str(home / name))
    server = EmbeddedServer(Path("/srv/toy/instance"), "test")
    try:
        server.start()
        with connect(server.url("postgres"), setting="x") as connection:
            assert connection.execute("SELECT 42").fetchone() == (42,)
        with psycopg.connect(shown(server.url("postgres"))) as connection:
            assert connection.execute("SELECT 42").fetchone() == (42,)
    finally:
        server.release()


def test_a_stale_lock_file_whose_number_another_process_has(home: Path) -> None:
    """As in a container that is killed and started again, where the same numbers come again."""
    server = EmbeddedServer(Path("/srv/toy/instance"), "test")
    server.start()
    file = server.data / "postmaster.pid"
    lines = file.read_text().splitlines()
    run_as = folders.run_as(folders.account_of(server.data))
    server.release()
    wait_for(lambda: not file.exists(), "the server to stop")
    with subprocess.Popen(["sleep", "60"], **run_as) as other:
        lines[0] = str(other.pid)
        file.write_text("\n".join([*lines, ""]))
        os.chown(file, server.data.stat().st_uid, -1)
        try:
            server.start()
        finally:
            other.kill()
            server.release()
            if file.exists() and file.read_text().splitlines()[0] == str(other.pid):
                file.unlink()


def test_a_home_that_the_servers_account_cannot_reach_is_one_sentence(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    environment.setenv("FLASK_TESTBED_HOME", str(tmp_path / "closed" / "home"))
    server = EmbeddedServer(Path("/srv/toy/instance"), "test")
    if os.geteuid() != 0:
        pytest.skip("only root runs the server as somebody else")

    with pytest.raises(ServerError, match="FLASK_TESTBED_HOME") as failed:
        server.start()

    assert "ermission denied" in str(failed.value) or "reach" in str(failed.value)


def test_a_server_and_its_keeper_that_were_killed_are_started_again(home: Path) -> None:
    """At once, and also where nobody reaps the server, as in a container without an init."""
    server = EmbeddedServer(Path("/srv/toy/instance"), "test")
    server.start()
    pid = int((server.data / "postmaster.pid").read_text().split()[0])
    both = [psutil.Process(pid), psutil.Process(pid).parent()]
    assert both[1] is not None
    assert "keeper.py" in " ".join(both[1].cmdline())
    for process in reversed(both):
        assert process is not None
        process.kill()
    server.release()

    try:
        server.start()
        with connect(server.url("postgres"), setting="x") as connection:
            assert connection.execute("SELECT 42").fetchone() == (42,)
    finally:
        server.release()


def test_a_server_that_does_not_start_says_the_cause(home: Path) -> None:
    server = EmbeddedServer(Path("/srv/toy/instance"), "test")
    server.start()
    server.release()
    wait_for(lambda: not (server.data / "postmaster.pid").exists(), "the server to stop")
    (server.data / "postgresql.conf").write_text("nonsense = 1\n")

    with pytest.raises(ServerError, match='unrecognized configuration parameter "nonsense"'):
        server.start()


# Schemas

OLD_ENV = """
    from alembic import context
    from flask import current_app
    from sqlalchemy import engine_from_config, pool

    config = context.config
    config.set_main_option(
        "sqlalchemy.url", current_app.config["SQLALCHEMY_DATABASE_URI"].replace("%", "%%")
    )
    connectable = engine_from_config(
        config.get_section(config.config_ini_section),
        prefix="sqlalchemy.",
        poolclass=pool.NullPool,
    )
    connection = connectable.connect()
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
    connection.close()
"""


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    folder = tmp_path / "migrations"
    write_migrations(folder)
    return folder


def test_migrations_that_make_their_own_engine_do_not_reach_the_own_database(
    stock: Stock, toys: Toys, migrations: Path
) -> None:
    """As env.py of Flask-Migrate 2 did, and as many projects still do."""
    own = stock.create("own")
    (migrations / "env.py").write_text(textwrap.dedent(OLD_ENV))

    outcome = toys.run(migrated(toys, stock.url("own"), migrations), "test-db", "create")

    tables = "SELECT relname FROM pg_class WHERE relkind = 'r' AND oid > 16383"
    assert stock.rows(tables, "own") == ["precious"]
    assert outcome.status == 0, outcome.text
    assert stock.rows("SELECT count(*) FROM shelf", "own_test") == [0]
    assert own.name == "own"


@pytest.mark.parametrize(
    "statement", ["raise RuntimeError('by hand')", "raise SystemExit(3)", "import nonsense"]
)
def test_a_migration_that_raises_is_one_sentence(
    stock: Stock, toys: Toys, migrations: Path, statement: str
) -> None:
    before = stock.databases()
    write_migrations(migrations, MIGRATION + f"        {statement}\n")

    outcome = toys.run(migrated(toys, stock.url("own"), migrations), "test-db", "create")

    assert stock.databases() == before
    outcome.assert_says("The schema cannot be made from the migrations")


@pytest.mark.parametrize("how", ["exec_driver_sql('SELECT 1')", "scalar(sa.text('SELECT 1'))"])
def test_a_listener_of_the_models_may_do_anything(stock: Stock, toys: Toys, how: str) -> None:
    db = toy_db()

    def listener(target: object, connection: sa.Connection, **_: object) -> None:
        if how.startswith("exec"):
            connection.exec_driver_sql("SELECT 1")
        else:
            connection.scalar(sa.text("SELECT 1"))

    sa.event.listen(db.metadata.tables["book"], "after_create", listener)

    assert toys.run(toys.app(stock.url("own"), db), "test-db", "create").status == 0


def test_the_server_ends_the_engines_session_meanwhile(
    stock: Stock, toys: Toys, migrations: Path
) -> None:
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    kill += " WHERE application_name = 'flask-testbed'"
    write_migrations(migrations, f"{MIGRATION}        op.execute({kill!r})\n")

    outcome = toys.run(migrated(toys, stock.url("own"), migrations), "test-db", "create")

    outcome.assert_says()


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


@pytest.mark.filterwarnings("ignore:Revision 0 referenced:UserWarning")
def test_a_history_that_is_broken_is_one_sentence(
    stock: Stock, toys: Toys, migrations: Path
) -> None:
    before = stock.databases()
    broken = MIGRATION.replace("down_revision = None", "down_revision = '0'")
    write_migrations(migrations, broken)

    outcome = toys.run(migrated(toys, stock.url("own"), migrations), "test-db", "create")

    outcome.assert_says()
    assert stock.databases() == before


def test_a_server_that_stops_is_not_taken_for_one_that_runs(home: Path) -> None:
    """The keeper gives back its own lock before that of the users, or at once with it."""
    for n in range(30):
        server = EmbeddedServer(Path("/srv/toy/instance"), "test")
        server.start()
        try:
            connect(server.url("postgres"), setting="x").close()
        finally:
            server.release()
        time.sleep(0.005 * (n % 3))


def test_a_warning_for_one_application_does_not_spare_the_other(
    project: Project, stock: Stock
) -> None:
    second = (project.root / "toyapp.py").read_text().replace("models", "models2")
    models = (project.root / "models.py").read_text().replace('"book"', '"scroll"')
    project.write(
        toyapp2=second,
        models2=models,
        test_it="""
            import models, models2, toyapp2

            OTHER = toyapp2.create_app()

            def test_leaves_a_transaction_open(app):
                models.add("book")
                global forgotten
                with OTHER.app_context():
                    forgotten = models2.db.engine.connect()
                statement = "INSERT INTO scroll (title) VALUES ('x')"
                forgotten.execute(models2.db.text(statement))

            def test_both_are_put_back(app):
                assert models.titles() == []
                with OTHER.app_context():
                    assert models2.titles() == []
                forgotten.invalidate()
                forgotten.close()
        """,
    )

    outcome = project.pytest("-W", "error", DATABASE_URL=stock.url("own"))

    assert outcome.counts() == {"passed": 2, "error": 1}, outcome.text
    assert "A transaction was left open" in outcome.text


# What a review has found


def test_a_pool_of_one_connection_is_enough(stock: Stock, project: Project) -> None:
    """The database is made in the middle of a connect."""
    toyapp = (project.root / "toyapp.py").read_text()
    options = "{'pool_size': 1, 'max_overflow': 0, 'pool_timeout': 2}"
    project.write(
        toyapp=toyapp.replace(
            "db.init_app(app)",
            f"app.config['SQLALCHEMY_ENGINE_OPTIONS'] = {options}\n    db.init_app(app)",
        ),
        test_it="from models import add\n\ndef test_it(app):\n    add('x')\n",
    )

    assert project.pytest(DATABASE_URL=stock.url("own")).counts() == {"passed": 1}


def test_an_application_without_flask_sqlalchemy_is_left_alone(project: Project) -> None:
    project.write(
        conftest="""
            import flask, pytest

            @pytest.fixture
            def app():
                return flask.Flask("plain")
        """,
        test_it="def test_it(client):\n    assert client.get('/').status_code == 404\n",
    )

    assert project.pytest().counts() == {"passed": 1}


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


class Elsewhere(Destination):
    """A database that a route leads to, and what is done before it is there."""

    def __init__(self, url: str, before: Callable[[], object] = int) -> None:
        self._url = url
        self._before = before

    def url(self) -> URL:
        self._before()
        return make_url(self._url)


@pytest.mark.parametrize("key", ["dbname", "database"])
def test_an_unmanaged_engine_of_another_driver_is_refused(toys: Toys, key: str) -> None:
    app = toys.app("postgresql://localhost/own")
    elsewhere = Elsewhere("postgresql+psycopg://localhost/own_test")
    database_of(app).redirect(elsewhere, to_test=True)
    dialect: Any = SimpleNamespace(name="postgresql", driver="another")
    record: Any = SimpleNamespace(info={})

    with pytest.raises(SettingsError, match="uses the driver 'another'"):
        gate.connecting(dialect, record, (), {"host": "127.0.0.1", key: "own"})

    assert gate.connecting(dialect, record, (), {"host": "127.0.0.1", key: "else"}) is None


def test_an_application_may_be_made_while_an_engine_connects(stock: Stock, toys: Toys) -> None:
    app, other = toys.app(stock.url("own")), toys.app(stock.url("other"))
    database = database_of(app)
    elsewhere = Elsewhere(stock.url("postgres"), before=lambda: database_of(other))
    database.redirect(elsewhere, to_test=True)
    unmanaged = sa.create_engine(database.own_url)
    try:
        with unmanaged.connect() as connection:
            assert connection.scalar(sa.text("SELECT current_database()")) == "postgres"
    finally:
        unmanaged.dispose()


def test_the_pool_of_an_application_that_is_forgotten_is_closed(stock: Stock, toys: Toys) -> None:
    app = toys.app(stock.url("postgres"))
    database_of(app)
    with app.app_context():
        engine = app.extensions["sqlalchemy"].engine
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
    assert not raw.closed

    del app, engine, connection
    gc.collect()

    assert raw.closed


def test_what_one_worker_keeps_another_does_not_drop(stock: Stock, project: Project) -> None:
    project.write(
        test_it="""
            import pytest, time
            from models import add

            @pytest.mark.parametrize("n", range(2))
            def test_it(app, n, worker_id):
                time.sleep(1 if worker_id == "gw1" else 0)
                add("x")
        """
    )

    outcome = project.pytest("-n2", "--keep-db", DATABASE_URL=stock.url("own"))

    kept = [name for name in stock.databases() if name.startswith("own_test")]
    assert outcome.text.count("Test database kept:") == len(kept) == 2

    assert project.pytest(DATABASE_URL=stock.url("own")).counts() == {"passed": 2}


def test_create_does_not_take_over_what_a_run_has_left_while_somebody_looks(
    stock: Stock, toys: Toys, project: Project
) -> None:
    project.write(test_it="from models import add\n\ndef test_it(app):\n    add('x')\n")
    project.pytest("--keep-db", DATABASE_URL=stock.url("own"))
    app = toys.app(stock.url("own"))

    with stock.connect("own_test"):
        toys.run(app, "test-db", "create").assert_says("is in use by boss")

    assert toys.run(app, "test-db", "create").out.startswith("Created own_test")
