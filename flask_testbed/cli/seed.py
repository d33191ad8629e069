"""The group ``seed``, in which each scenario is a command."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, TextIO

import click
from flask import Flask, current_app
from flask.cli import AppGroup, ScriptInfo, with_appcontext
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL

from .._compat import unproxied
from ..application.target import DISPOSABLE, is_development, parse_url
from ..errors import NotEmptyError, SeedError
from ..postgres.connecting import without_secrets
from ..seeds.database import check_reset, has_rows, is_marked, leading_to, reach
from ..seeds.playing import SeedReport, play
from ..seeds.scenarios import EXTENSION as SCENARIOS
from ..seeds.scenarios import Scenario, Scenarios
from .common import table


class ScenarioGroup(AppGroup):
    """A group whose commands are the application's scenarios, after its own ones."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the group's own commands, then those of the scenarios."""
        return [*super().list_commands(ctx), *(scenario.name for scenario in _scenarios(ctx))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or None if neither a command nor a scenario has that name."""
        own = super().get_command(ctx, cmd_name)
        scenarios = _scenarios(ctx)
        if own is not None or cmd_name not in scenarios:
            return own
        return _command(scenarios[cmd_name])


def _scenarios(ctx: click.Context) -> Scenarios:
    app = ctx.ensure_object(ScriptInfo).load_app()
    scenarios: Scenarios = app.extensions.get(SCENARIOS) or Scenarios()
    return scenarios


@click.group("seed", cls=ScenarioGroup)
def seed() -> None:
    """Fill the application's database with a believable data set.

    \b
    Example:
      flask seed list
      flask seed demo
      flask seed demo --reset --scale 10
    """


@seed.command("list")
@click.pass_context
def list_scenarios(ctx: click.Context) -> None:
    """Show the scenarios that can be played.

    \b
    Example:
      flask seed list
    """
    scenarios = _scenarios(ctx)
    if not scenarios:
        raise SeedError(
            f"The application {current_app.name!r} has no scenarios. Register one with"
            ' `@scenarios.add("demo")`, and call `scenarios.init_app(app)`.'
        )
    rows = [[scenario.name, scenario.summary] for scenario in scenarios]
    click.echo(table(["scenario", "what it makes"], rows))


_OPTIONS: list[Callable[[Any], Any]] = [
    click.option(
        "--scale",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Multiply the amount of data by this.",
    ),
    click.option(
        "--random-seed", default="0", show_default=True, help="The same seed gives the same data."
    ),
    click.option(
        "--as-of",
        type=click.DateTime(["%Y-%m-%d"]),
        help="The day that the data describes; today in UTC by default.",
    ),
    click.option("--reset", is_flag=True, help="Empty the application's tables first."),
    click.option("--if-empty", is_flag=True, help="Do nothing, and succeed, if there is data."),
    click.option(
        "--yes",
        "-y",
        is_flag=True,
        help="Do not ask before --reset.",
    ),
    click.option("--dry-run", is_flag=True, help="Play the scenario, and write nothing."),
    click.option(
        "--database-url",
        metavar="URL",
        help="Write to this database, which has the schema, and not to the application's own.",
    ),
]


def _command(scenario: Scenario) -> click.Command:
    """Return the command that plays a scenario."""

    @with_appcontext
    def callback(**values: Any) -> None:
        _play(scenario, **values)

    for option in reversed(_OPTIONS):
        callback = option(callback)
    example = f"\b\nExample:\n  flask seed {scenario.name} --random-seed 7 --as-of 2026-01-31"
    help_text = f"{scenario.summary}\n\n{example}"
    return click.command(scenario.name, help=help_text, short_help=scenario.summary)(callback)


def _play(
    scenario: Scenario,
    *,
    as_of: datetime | None,
    reset: bool,
    if_empty: bool,
    yes: bool,
    database_url: str | None,
    **options: Any,
) -> None:
    if reset and if_empty:
        raise click.UsageError("--reset and --if-empty exclude each other.")
    app = unproxied(current_app)
    db: SQLAlchemy = app.extensions["sqlalchemy"]
    url = None if database_url is None else parse_url(database_url, "--database-url")
    if reset:
        check_reset(app)
    day = as_of.replace(tzinfo=UTC).date() if as_of else None
    progress = _progress if _is_terminal(sys.stderr) else None
    try:
        with leading_to(app, url):
            if reset and not (yes or options["dry_run"]):
                _confirm_reset(app, db, reach(db))
            report = play(app, db, scenario, as_of=day, reset=reset, progress=progress, **options)
    except NotEmptyError:
        if not if_empty:
            raise
        click.echo("There is data already, and it is left as it is. To replace it: --reset")
    else:
        click.echo(summary(report))


def _confirm_reset(app: Flask, db: SQLAlchemy, url: URL) -> None:
    """Ask whether to empty the tables.

    Nothing is asked if the tables are empty, or if the database is a test database with the
    testbed's label. Its name alone does not say that the testbed created it.

    :raises SeedError: there is no terminal to ask at.
    """
    if (DISPOSABLE.fullmatch(url.database or "") and is_marked(db)) or not has_rows(db):
        return
    where, advice = without_secrets(url), ""
    if is_development(url, app.instance_path):
        where = f"the development database {url.database!r}"
        advice = " To keep a copy of it first: flask test-db snapshot save before --development"
    if not _is_terminal(sys.stdin):
        raise SeedError(
            f"--reset would empty the application's tables in {where}, and there is no terminal"
            f" to confirm it. If that is what you want, add --yes.{advice}"
        )
    if advice:
        click.echo(advice.strip(), err=True)
    click.confirm(f"Empty the application's tables in {where}?", abort=True)


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty()


def _progress(items: Sequence[Any], label: str) -> AbstractContextManager[Iterable[Any]]:
    return click.progressbar(items, label=label, file=sys.stderr)


def summary(report: SeedReport) -> str:
    """Return what a scenario has written, as a table and a sentence."""
    headings = ["table", "rows", "rows/s"][: 3 if report.speeds else 2]
    rows = [
        [name, f"{count:,}", f"{report.speeds.get(name, 0):,.0f}"][: len(headings)]
        for name, count in report.rows.items()
    ]
    wrote = "Dry run: would have written" if report.dry_run else "Wrote"
    nothing = " Nothing was kept." if report.dry_run else ""
    return (
        f"{table(headings, rows)}\n\n"
        f"{wrote} {report.total:,} rows of {report.scenario!r} as of {report.as_of},"
        f" random seed {report.random_seed}, in {report.seconds:.1f} s"
        f" ({report.rows_per_second:,.0f} rows/s).{nothing}"
    )
