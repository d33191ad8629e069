"""Commands as in production: each has an application context, and so a session, of its own.

Flask does not push a context for a command if one is pushed already. A command that a test invokes
would therefore commit, or lose, what the test has only flushed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from flask import Flask
from flask.cli import ScriptInfo

from .contexts import context_without_flask, current_application, is_apart

Main = Callable[..., Any]


class Commands:
    """Gives each command that a test invokes its own context, from :meth:`watch` to :meth:`close`.

    Every way to invoke a command calls ``main()``: the runners of Flask and Click, and a call of
    the command itself.
    """

    def __init__(self) -> None:
        self._main: Main = click.Command.main

    def watch(self) -> None:
        """Isolate each command that is invoked from now on."""
        main = self._main

        def isolated_main(command: click.Command, *args: Any, **options: Any) -> Any:
            current = current_application()
            if current is None or is_apart():
                return main(command, *args, **options)
            app = _application_of(options.get("obj")) or current
            return context_without_flask().run(_in_context, app, main, command, *args, **options)

        click.Command.main = isolated_main  # type: ignore[method-assign, assignment]

    def close(self) -> None:
        """Leave commands alone from now on."""
        click.Command.main = self._main  # type: ignore[method-assign]


def _application_of(info: object) -> Flask | None:
    """The application that a runner of Flask's invokes a command of."""
    if isinstance(info, ScriptInfo) and info.create_app is not None:
        return info.load_app()
    return None


def _in_context(app: Flask, main: Main, *args: Any, **options: Any) -> Any:
    context, error = app.app_context(), None
    context.push()
    try:
        return main(*args, **options)
    except SystemExit:
        # Click ends each command with it, after the context.
        raise
    except BaseException as failure:
        error = failure
        raise
    finally:
        context.pop(error)
