"""What an application adds to each template: extensions, and whatever its hooks do."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session, scoped_session

from ..errors import SettingsError
from .fingerprint import files_below, hash_files

_KEY = "flask_testbed_hooks"
_EXTENSION = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")

Hook = Callable[["Session | scoped_session[Any]"], object]
"""Gets the application's session, within an application context; its work is committed."""


@dataclass
class Hooks:
    """An application's additions. Extensions come before the schema, hooks after it."""

    extensions: list[str] = field(default_factory=list)
    functions: list[Hook] = field(default_factory=list)
    files: list[str | Path] = field(default_factory=list)
    """What migrations and hooks read: a template depends on it."""

    def check(self) -> None:
        """Refuse what is no name of an extension.

        :raises SettingsError: quotes it.
        """
        for name in self.extensions:
            if not _EXTENSION.fullmatch(name):
                raise SettingsError(
                    f"{name!r} is not the name of a PostgreSQL extension. Write, for example,"
                    " Testbed(extensions=['citext'])."
                )

    def fingerprint(self, root: Path) -> str:
        """Changes with any of the additions, and with the modules in which hooks are.

        A hook calls functions beside it, so the file counts, not only the function.

        :param root: the folder from which relative files are seen.
        :raises SettingsError: a file is not there.
        """
        parts = [*self.extensions, hash_files(self._files(root), root)]
        for function in self.functions:
            parts += [function.__module__, function.__qualname__, _source(function)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def _files(self, root: Path) -> list[Path]:
        paths = [root / path for path in self.files]
        for path in paths:
            if not path.exists():
                raise SettingsError(
                    f"There is no {str(path)!r}, which Testbed(depends_on=…) names. Give a path"
                    f" as it is seen from {root}."
                )
        return files_below(paths)


def hooks_of(app: Flask) -> Hooks:
    """The additions of an application; none, if it has no :class:`.Testbed`."""
    hooks: Hooks = app.extensions.get(_KEY) or Hooks()
    return hooks


def set_hooks(app: Flask, hooks: Hooks) -> None:
    """Give an application its additions. Those that come later count as well."""
    app.extensions[_KEY] = hooks


def add_extensions(session: scoped_session[Any], hooks: Hooks) -> None:
    """Install the extensions into a database that has no schema yet."""
    for name in hooks.extensions:
        session.execute(text(f'CREATE EXTENSION IF NOT EXISTS "{name}" CASCADE'))
    session.commit()


def run_hooks(session: scoped_session[Any], hooks: Hooks) -> None:
    """Run the hooks on a database that has its schema, one transaction each."""
    for function in hooks.functions:
        function(session)
        session.commit()


def describe(function: Hook) -> str:
    """A hook by its name and place, for a message."""
    return f"{function.__module__}.{function.__qualname__}"


def _source(function: Hook) -> str:
    """The text of the module in which a function is, or all that there is of it."""
    try:
        path = inspect.getsourcefile(inspect.unwrap(function))
        if path is not None and Path(path).is_file():
            return Path(path).read_text()
        return inspect.getsource(function)
    except (OSError, TypeError):
        # From a terminal, or made by exec(): its code is what is known.
        code = getattr(function, "__code__", None)
        return repr(function) if code is None else f"{code.co_code!r}{code.co_consts!r}"
