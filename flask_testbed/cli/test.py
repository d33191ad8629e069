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

    The database is created, the tests run in the application's context, and the database is
    dropped. The arguments are pytest's. Without a path among them, tests/integration is run. The
    exit status is pytest's.

    \b
    Example:
      python manage.py test
      python manage.py test tests/integration -k agent -x
    """
    if set(arguments) & {"-h", "--help"}:
        click.echo(click.get_current_context().get_help())
        return
    import pytest

    sys.exit(pytest.main(pytest_arguments(arguments)))


def pytest_arguments(arguments: tuple[str, ...]) -> list[str]:
    """Return the arguments of pytest: those given, and ``tests/integration`` if none is a path."""
    # The application has been imported, and with it the plugins that it uses, such as Faker's.
    quiet = ["-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"]
    integration = Path("tests", "integration")
    named = any(Path(argument.split("::")[0]).exists() for argument in arguments)
    paths = [] if named or not integration.is_dir() else [str(integration)]
    return [*quiet, *arguments, *paths]
