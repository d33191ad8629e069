"""What an application adds to its templates: extensions, and template hooks."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy.orm import Session, scoped_session

from ..errors import SettingsError
from .fingerprint import files_below, hash_files

_KEY = "flask_testbed_hooks"
_EXTENSION = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")

Hook = Callable[["Session | scoped_session[Any]"], object]
"""Called with the application's session, in an application context; its work is committed."""


@dataclass
class Hooks:
    """The additions of an application. Extensions come before the tables, hooks after them."""

    extensions: list[str] = field(default_factory=list)
    functions: list[Hook] = field(default_factory=list)
    files: list[str | Path] = field(default_factory=list)
    """Files and folders that migrations and hooks read."""

    def check(self) -> None:
        """Check the names of the extensions.

        :raises SettingsError: quotes an invalid name.
        """
        for name in self.extensions:
            if not _EXTENSION.fullmatch(name):
                raise SettingsError(
                    f"{name!r} is not the name of a PostgreSQL extension. Write, for example,"
                    " Testbed(extensions=['citext'])."
                )

    def fingerprint(self, root: Path) -> str:
        """Return a hash that changes with the additions, and with the modules of the hooks.

        A hook may call other functions of its module, so the whole file counts.

        :param root: the folder to which relative paths of files are relative.
        :raises SettingsError: a file does not exist.
        """
        parts = [*self.extensions, hash_files(self._files(root), root)]
        for function in self.functions:
            parts += [describe(function), _source(function)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def _files(self, root: Path) -> list[Path]:
        paths = [root / path for path in self.files]
        for path in paths:
            if not path.exists():
                raise SettingsError(
                    f"There is no {str(path)!r}, which Testbed(depends_on=…) names. Give a path"
                    f" relative to {root}."
                )
        return files_below(paths)


def hooks_of(app: Flask) -> Hooks:
    """Return the additions of an application: none if it has no :class:`.Testbed`."""
    hooks: Hooks = app.extensions.get(_KEY) or Hooks()
    return hooks


def set_hooks(app: Flask, hooks: Hooks) -> None:
    """Set the additions of an application. Hooks that are added to them later count as well."""
    app.extensions[_KEY] = hooks


def run_hook(session: scoped_session[Any], hook: Hook) -> None:
    """Run a hook in a transaction of its own, in a database that has its tables."""
    hook(session)
    session.commit()


def describe(hook: Hook) -> str:
    """Return the qualified name of a hook, for a message."""
    return f"{hook.__module__}.{hook.__qualname__}"


def _source(hook: Hook) -> str:
    """Return the source of the module of a hook, else its own source or code."""
    try:
        path = inspect.getsourcefile(inspect.unwrap(hook))
        if path is not None and Path(path).is_file():
            return Path(path).read_text()
        return inspect.getsource(hook)
    except (OSError, TypeError):
        # A function that was typed at a prompt, or created by exec(), has no source.
        code = getattr(hook, "__code__", None)
        return repr(hook) if code is None else f"{code.co_code!r}{code.co_consts!r}"
