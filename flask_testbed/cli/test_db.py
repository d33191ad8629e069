"""The group ``test-db``."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress

import click
from flask import current_app
from flask.cli import AppGroup

from .._compat import unproxied
from ..databases.pruning import DAYS, KEEP
from ..databases.status import HEADINGS, cells, status_json
from ..databases.test_database import Created, TestDatabase
from ..postgres.connecting import shown
from .common import echo_json, force_option, json_option, table
from .snapshot import snapshot


def _database() -> TestDatabase:
    return TestDatabase(unproxied(current_app))


@click.group("test-db", cls=AppGroup)
def test_db() -> None:
    """Create, inspect and drop the test database.

    TEST_DATABASE_URL says where it is. Without that, it is on the server of the application's own
    database, with '_test' appended to its name, or else on an embedded server.

    \b
    Example:
      flask test-db create
      flask test-db shell -- -c '\\dt'
      flask test-db drop
    """


test_db.add_command(snapshot)


@test_db.command()
@json_option
def create(as_json: bool) -> None:
    """Create the test database, with the schema of the application.

    The schema comes from the migrations if there are any, or else from the models. An existing
    database whose schema is current is left as it is.

    \b
    Example:
      flask test-db create
    """
    created = _database().create()
    if as_json:
        echo_json(created)
    elif created.existed:
        click.echo(f"{created.name} exists already, with the current schema: nothing to do.")
    else:
        click.echo(_sentence("Created", created))


@test_db.command()
@force_option
@json_option
def reset(force: bool, as_json: bool) -> None:
    """Empty the test database, and bring its schema up to date.

    \b
    Example:
      flask test-db reset
    """
    done = _database().reset(force=force)
    if as_json:
        echo_json(done)
    else:
        click.echo(_sentence("Reset", done))


@test_db.command()
@click.option("--yes", is_flag=True, help="Drop it even if the testbed did not create it.")
@force_option
def drop(yes: bool, force: bool) -> None:
    """Drop the test database, and the databases that test runs have left.

    \b
    Example:
      flask test-db drop
    """
    database = _database()
    dropped = database.drop(confirmed=yes, force=force)
    for name in dropped:
        click.echo(f"Dropped {name}.")
    if not dropped:
        click.echo(f"There is no {database.target.name}: nothing to drop.")


@test_db.command()
@click.option(
    "--keep",
    default=KEEP,
    show_default=True,
    type=click.IntRange(0),
    help="How many templates of other schemas to keep on the embedded server.",
)
@click.option(
    "--days",
    default=float(DAYS),
    show_default=True,
    type=click.FloatRange(0),
    help="For how many days to keep them.",
)
@json_option
def prune(keep: int, days: float, as_json: bool) -> None:
    """Drop the leftovers of ended runs, of all projects on the server, and old templates.

    Embedded servers in memory whose project was deleted are deleted, too.

    Databases that are in use are kept, and so are those that a person asked for: with create,
    with --keep-db, and as snapshots.

    \b
    Example:
      flask test-db prune --keep 0
    """
    dropped = _database().prune(keep=keep, days=days)
    if as_json:
        echo_json(dropped)
        return
    for one in dropped:
        click.echo(f"Dropped {one.name} ({one.kind}).")
    if not dropped:
        click.echo("Nothing to drop.")


@test_db.command()
@click.option(
    "--ignore",
    multiple=True,
    metavar="PATTERN",
    help="Tables and enums to ignore, such as audit_*. May be given more than once.",
)
@json_option
def check(ignore: tuple[str, ...], as_json: bool) -> None:
    """Show the differences between the models, the migrations and the factories.

    The exit status is 1 if there are any.

    \b
    Example:
      flask test-db check --ignore 'audit_*'
    """
    from ..databases.differences import check, describe_source
    from ..factories.registry import factories_of

    app = unproxied(current_app)
    checked = check(app, ignore, factories_of(app))
    if as_json:
        echo_json(checked)
    else:
        click.echo(f"Compared {describe_source(checked)}.")
        for difference in checked.differences:
            click.echo(str(difference))
        click.echo(f"They {'disagree' if checked.differences else 'agree'}.")
    sys.exit(1 if checked.differences else 0)


@test_db.command()
@json_option
def status(as_json: bool) -> None:
    """Show the databases of the testbed on the server.

    \b
    Example:
      flask test-db status --json
    """
    database = _database()
    rows = database.status()
    if as_json:
        echo_json([status_json(row) for row in rows])
        return
    if rows:
        click.echo(table(HEADINGS, [cells(row) for row in rows]))
    if not any(row.name == database.target.name for row in rows):
        click.echo(f"There is no {database.target.name}. Create it with: flask test-db create")


@test_db.command()
def url() -> None:
    """Print the URL of the test database, without its password.

    \b
    Example:
      pg_dump "$(flask test-db url)"
    """
    database = _database()
    click.echo(shown(database.url))
    if database.url.password:
        click.echo("The password is left out: set PGPASSWORD.", err=True)
    if database.target.embedded:
        click.echo("The embedded server runs only while it is used: flask test-db serve", err=True)


@test_db.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- PSQL ARGS]")
def shell(arguments: tuple[str, ...]) -> None:
    """Run psql on the test database.

    \b
    Example:
      flask test-db shell -- -c '\\dt'
    """
    sys.exit(_database().shell(arguments))


@test_db.command()
def serve() -> None:
    """Keep the embedded server running for other tools, until Ctrl-C.

    The test database is created if it does not exist.

    \b
    Example:
      flask test-db serve
    """
    with _database().serving() as address:
        click.echo(f"Serving {shown(address)}")
        click.echo("Press Ctrl-C to stop.")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
    click.echo("Stopped.")


def _sentence(verb: str, created: Created) -> str:
    return (
        f"{verb} {created.name} on {created.where}: {created.tables} tables from the"
        f" {created.source}, in {created.seconds * 1000:,.0f} ms."
    )
