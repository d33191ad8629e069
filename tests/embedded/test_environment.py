"""No environment variable and no file changes a connection to the embedded server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from flask_testbed.application.routes import redirect
from flask_testbed.embedded.server import EmbeddedServer
from flask_testbed.errors import ServerError
from flask_testbed.postgres.addresses import is_same_database
from flask_testbed.postgres.connecting import connect
from flask_testbed.postgres.server import Server
from tests.support.projects import Project
from tests.support.servers import Stock, clear_away, rough_folder

#: What a person may have set for another server, or by mistake.
HARMFUL = {
    "PGHOSTADDR": "127.0.0.1",
    "PGHOST": "db.example.com",
    "PGPORT": "1",
    "PGUSER": "nobody_of_that_name",
    "PGPASSWORD": "wrong",
    "PGDATABASE": "absent",
    "PGPASSFILE": "/",
    "PGOPTIONS": "-c no_such_setting=1",
    "PGTARGETSESSIONATTRS": "standby",
    "PGREQUIREAUTH": "scram-sha-256",
    "PGREQUIREPEER": "nobody_of_that_name",
    "PGCHANNELBINDING": "require",
    "PGSSLMODE": "nonsense",
    "PGSSLROOTCERT": "system",
    "PGSSLCERTMODE": "require",
    "PGSSLNEGOTIATION": "direct",
    "PGSSLMINPROTOCOLVERSION": "nonsense",
    "PGMINPROTOCOLVERSION": "latest",
    "PGMAXPROTOCOLVERSION": "nonsense",
    "PGGSSENCMODE": "require",
    "PGCLIENTENCODING": "nonsense",
    "PGCONNECT_TIMEOUT": "soon",
    "PGLOADBALANCEHOSTS": "nonsense",
}

TESTS = """
    import pytest
    from models import add, titles

    @pytest.mark.parametrize("n", range(2))
    def test_it(app, n):
        assert titles() == []
        add("a")
        assert titles() == ["a"]
"""


@pytest.fixture(scope="module")
def running(embedded_home: Path) -> Iterator[EmbeddedServer]:
    """A server that runs meanwhile, so that not each test makes one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLASK_TESTBED_HOME", str(embedded_home))
        server = EmbeddedServer(Path("/srv/environment/instance"), "development")
        server.start()
    yield server
    server.release()


@pytest.fixture
def server(environment: pytest.MonkeyPatch, running: EmbeddedServer) -> EmbeddedServer:
    return EmbeddedServer(running.instance, running.purpose)


def data_directory(server: EmbeddedServer) -> str:
    """That of the server to which the engine's connection leads."""
    server.start()
    try:
        with closing(connect(server.url("postgres"), setting="x")) as connection:
            row = connection.execute("SHOW data_directory").fetchone()
            assert row is not None
            return str(row[0])
    finally:
        server.release()


@pytest.mark.parametrize("name", HARMFUL)
def test_no_variable_changes_where_the_engine_connects_to(
    server: EmbeddedServer, environment: pytest.MonkeyPatch, name: str
) -> None:
    environment.setenv(name, HARMFUL[name])

    assert data_directory(server) == str(server.data)


@pytest.mark.parametrize("line", ["hostaddr=127.0.0.1", "replication=database", "port=1", "x=y"])
def test_a_service_file_changes_nothing_or_is_named(
    server: EmbeddedServer, environment: pytest.MonkeyPatch, tmp_path: Path, line: str
) -> None:
    (tmp_path / "services").write_text(f"[mine]\n{line}\n")
    environment.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    environment.setenv("PGSERVICE", "mine")

    if line != "x=y":
        assert data_directory(server) == str(server.data)
        return
    with pytest.raises(ServerError, match=r"PGSERVICE, PGSERVICEFILE\. Unset them"):
        data_directory(server)


@pytest.mark.parametrize("name", ["PGSERVICE", "PGTZ", "PGDATESTYLE"])
def test_what_libpq_reads_in_any_case_is_named(
    server: EmbeddedServer, environment: pytest.MonkeyPatch, name: str
) -> None:
    environment.setenv(name, "nonsense")

    with pytest.raises(ServerError, match=rf"nonsense.*: {name}\. Unset") as said:
        data_directory(server)

    assert "\n" not in str(said.value)


def test_a_new_server_takes_no_setting_from_the_environment(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = rough_folder()
    environment.setenv("FLASK_TESTBED_HOME", str(home))
    for name in ("PGPORT", "PGDATESTYLE", "PGCLIENTENCODING", "PGDATA"):
        environment.setenv(name, "nonsense")
    server = EmbeddedServer(tmp_path / "instance", "test")
    try:
        server.start()
        environment.delenv("PGDATESTYLE")
        assert data_directory(server) == str(server.data)
    finally:
        server.release()
        clear_away(home)


@pytest.mark.parametrize("mode", ["commit", "rollback"])
@pytest.mark.parametrize("how", ["variables", "service"])
def test_a_run_stays_on_the_embedded_server(
    project: Project, stock: Stock, mode: str, how: str
) -> None:
    before = stock.databases()
    project.write(test_it=TESTS)
    variables = {key: HARMFUL[key] for key in HARMFUL if key != "PGSSLMODE"}
    variables |= {"PGPORT": str(stock.port), "PGUSER": "boss", "PGPASSWORD": stock.password}
    if how == "service":
        place = f"hostaddr=127.0.0.1\nport={stock.port}\nuser=boss\npassword={stock.password}\n"
        (project.root / "services").write_text(f"[mine]\n{place}")
        variables = {"PGSERVICE": "mine", "PGSERVICEFILE": str(project.root / "services")}

    outcome = project.pytest(f"--testbed-isolation={mode}", **variables)

    assert outcome.counts() == {"passed": 2}, outcome.text
    assert stock.databases() == before


def test_the_shell_is_one_of_the_embedded_server(project: Project, stock: Stock) -> None:
    variables = {"PGHOSTADDR": "127.0.0.1", "PGOPTIONS": "-c no_such_setting=1"}
    flask = ["-m", "flask", "--app", "toyapp", "test-db"]
    assert project.run(*flask, "create", **variables).status == 0

    shell = project.run(*flask, "shell", "--", "-Atc", "SHOW unix_socket_directories", **variables)

    assert shell.status == 0, shell.text
    assert "/sockets" in shell.out or "flask-testbed" in shell.out


def test_connect_args_do_not_lead_to_another_server(server: EmbeddedServer) -> None:
    own = make_url("postgresql+psycopg://ada@db.example.com/shop")
    parameters: dict[str, Any] = {"host": "db.example.com", "user": "ada", "dbname": "shop"}
    parameters |= {"hostaddr": "192.0.2.1", "service": "shop", "sslmode": "verify-full"}
    parameters |= {"options": "-c work_mem=1MB", "application_name": "shop", "autocommit": True}

    redirect(parameters, own, server.url("shop_test"))

    assert parameters["hostaddr"] == ""
    assert "service" not in parameters
    assert parameters["options"] == "-c work_mem=1MB"
    assert parameters["application_name"] == "shop"


def test_another_server_in_the_place_of_the_embedded_one_is_noticed(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    other = EmbeddedServer(tmp_path / "other", "development")
    with closing(Server(other.url("postgres"), "x", server)) as administrator:
        other.start()
        try:
            with pytest.raises(ServerError, match="is not the embedded one of"):
                administrator.connection  # noqa: B018
        finally:
            other.release()


# Guards


@pytest.mark.parametrize(
    ("variables", "url", "is_same"),
    [
        ({"PGHOSTADDR": "127.0.0.1"}, "postgresql://db.invalid/x_test", True),
        ({"PGHOSTADDR": "192.0.2.1"}, "postgresql://localhost/x_test", False),
        ({"PGHOST": "localhost"}, "postgresql:///x_test", True),
        ({"PGHOST": "localhost"}, "postgresql://192.0.2.1/x_test", False),
        ({"PGSERVICE": "here"}, "postgresql:///x_test", True),
        ({"PGSERVICE": "here"}, "postgresql://db.invalid/x_test", True),
        ({"PGSERVICE": "away", "PGHOST": "localhost"}, "postgresql:///x_test", False),
        ({}, "postgresql:///?service=here", True),
        ({}, "postgresql:///?service=away", False),
        ({}, "postgresql:///x_test?service=undefined", True),
        ({"PGHOSTADDR": "192.0.2.1"}, "postgresql:///x_test?hostaddr=127.0.0.1", True),
        ({"PGPORT": "5433"}, "postgresql://localhost/x_test", False),
        ({"PGPORT": "5433"}, "postgresql://localhost:5432/x_test", True),
        ({}, "postgresql://192.0.2.1,localhost/x_test", True),
        ({}, "postgresql:///x_test?host=192.0.2.1:5432&host=localhost:5433", False),
    ],
)
def test_guards_find_an_address_as_libpq_does(
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
    variables: dict[str, str],
    url: str,
    is_same: bool,
) -> None:
    text = "[here]\nhostaddr=127.0.0.1\nport=5432\ndbname=x_test\n[away]\nhostaddr=192.0.2.1\n"
    (tmp_path / "services").write_text(text)
    environment.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    for name, value in variables.items():
        environment.setenv(name, value)
    own = make_url("postgresql:///x_test?host=127.0.0.1&hostaddr=127.0.0.1&port=5432")

    assert is_same_database(make_url(url), own) is is_same
    assert is_same_database(own, make_url(url)) is is_same
