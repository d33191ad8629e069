"""The layout of the source, which is left to ruff."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys

__all__ = ["NOT_FORMATTED", "formatted"]

#: The first line of source that could not be formatted.
NOT_FORMATTED = (
    "# ruff is missing or failed. To format: ruff check --select I --fix F && ruff format F"
)


def formatted(source: str) -> str | None:
    """Return source as ruff formats it for the project in the current directory.

    Imports are sorted, too. Return ``None`` if ruff is not installed or reports an error.
    """
    ruff = _ruff()
    if ruff is None:
        return None
    for options in (["check", "--quiet", "--select=I", "--fix-only"], ["format", "--quiet"]):
        outcome = subprocess.run(
            [*ruff, *options, "--stdin-filename=factories.py", "-"],
            input=source,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        if outcome.returncode != 0:
            return None
        source = outcome.stdout
    return source


def _ruff() -> list[str] | None:
    """Return the command that runs ruff, or ``None`` if it is not installed."""
    if importlib.util.find_spec("ruff") is not None:
        return [sys.executable, "-m", "ruff"]
    program = shutil.which("ruff")
    return [program] if program is not None else None
