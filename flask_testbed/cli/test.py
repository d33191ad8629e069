"""The command ``test``."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from flask.cli import with_appcontext


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[PYTEST ARGS]")
@with_appcontext
def test(arguments: tuple[str, ...]) -> None:
    """Run the integration tests on a test database of their own.

    The database is made, the tests run in the application's context, the database is dropped.
    Arguments are those of pytest; without any, tests/integration is run. The exit status is
    that of pytest.

    \b
    Example:
      python manage.py test
      python manage.py test tests/integration -k agent -x
    """
    if set(arguments) & {"-h", "--help"}:
        click.echo(click.get_current_context().get_help())
        return
    import pytest

    integration = Path("tests", "integration")
    default = [str(integration)] if integration.is_dir() else []
    # The default stands in for a path; options alone do not name one.
    paths = [argument for argument in arguments if Path(argument.split("::")[0]).exists()]
    # The application, and with it plugins of pytest as Faker, are imported already.
    quiet = ["-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"]
    sys.exit(pytest.main([*quiet, *arguments, *([] if paths else default)]))
