"""The group ``test-db snapshot``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from flask import current_app
from flask.cli import AppGroup

from .._compat import unproxied
from ..databases.snapshots import Snapshots, snapshot_json
from ..databases.status import age, megabytes
from ..errors import RefusedError
from .common import echo_json, force_option, json_option, table

_development = click.option(
    "--development", is_flag=True, help="Use the application's own database."
)


def _snapshots(development: bool) -> Snapshots:
    return Snapshots(unproxied(current_app), development=development)


@click.group("snapshot", cls=AppGroup)
def snapshot() -> None:
    """Keep named copies of the test or the development database, and go back to them.

    \b
    Example:
      flask test-db snapshot save before
      flask test-db snapshot restore before
    """


@snapshot.command()
@click.argument("name")
@_development
@force_option
@json_option
def save(name: str, development: bool, force: bool, as_json: bool) -> None:
    """Save a copy of the database under a name.

    \b
    Example:
      flask test-db snapshot save before-migration --development
    """
    snapshots = _snapshots(development)
    with _reported("Saved", snapshots, name, as_json):
        snapshots.save(name, force=force)


@snapshot.command()
@click.argument("name")
@_development
@click.option("--yes", is_flag=True, help="With --development: do not ask for confirmation.")
@force_option
@json_option
def restore(name: str, development: bool, yes: bool, force: bool, as_json: bool) -> None:
    """Replace the database with a copy of a snapshot. Its present content is lost.

    \b
    Example:
      flask test-db snapshot restore before-migration --development
    """
    snapshots = _snapshots(development)
    if development and not yes:
        snapshots.check_restore(name, force=force)
        _confirm(f"Replace the content of {snapshots.database!r}?")
    with _reported("Restored", snapshots, name, as_json):
        snapshots.restore(name, force=force)


@snapshot.command("list")
@_development
@json_option
def list_(development: bool, as_json: bool) -> None:
    """Show the snapshots of the database.

    \b
    Example:
      flask test-db snapshot list
    """
    snapshots = _snapshots(development)
    found = [snapshot_json(one) for one in snapshots.list()]
    if as_json:
        echo_json(found)
    elif found:
        rows = [
            [one["name"], one["of"], age(one["made_at"]), megabytes(one["size"])] for one in found
        ]
        click.echo(table(["snapshot", "of", "age", "MB"], rows))
    else:
        click.echo(f"There is no snapshot of {snapshots.database}.")


@snapshot.command()
@click.argument("name")
@_development
@json_option
def drop(name: str, development: bool, as_json: bool) -> None:
    """Drop a snapshot.

    \b
    Example:
      flask test-db snapshot drop before-migration
    """
    snapshots = _snapshots(development)
    with _reported("Dropped", snapshots, name, as_json):
        snapshots.drop(name)


@contextmanager
def _reported(verb: str, snapshots: Snapshots, name: str, as_json: bool) -> Iterator[None]:
    """Print what was done with a snapshot, and how long it took."""
    started = time.perf_counter()
    yield
    seconds, of = time.perf_counter() - started, snapshots.database
    if as_json:
        echo_json({"name": name, "of": of, "seconds": seconds})
    else:
        click.echo(f"{verb} the snapshot {name} of {of}, in {seconds * 1000:,.0f} ms.")


def _confirm(question: str) -> None:
    """Ask the person at the terminal.

    :raises RefusedError: the answer is no, or there is no terminal.
    """
    if not sys.stdin.isatty():
        raise RefusedError(f"Refused: {question} There is no terminal to confirm it. Use --yes.")
    if not click.confirm(question, err=True):
        raise RefusedError("Refused: nothing was touched.")
