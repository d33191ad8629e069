"""Leftovers: data directories that were not finished, and servers whose projects were deleted.

A server in the instance folder is deleted with its project. A test server in memory is not.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from .folders import locked
from .keeper import open_private

#: The file in a server's home that names the folder of its project.
_PROJECT = "project"


def note_project(home: Path, instance: Path) -> None:
    """Write down to which project a server belongs.

    :param home: the folder of the server.
    :param instance: the application's instance folder. It may not exist yet, and for an installed
        application neither may its parent.
    """
    project = next(folder for folder in instance.absolute().parents if folder.exists())
    with open_private(home / _PROJECT) as note:
        note.truncate()
        note.write(os.fsencode(project))


def drop_leftovers(folder: Path) -> list[Path]:
    """Delete the servers whose projects were deleted, except those that are in use.

    :param folder: the folder that holds the homes of test servers, and nothing else.
    :returns: the homes that were deleted.
    """
    dropped = []
    for note in sorted(folder.glob(f"*/{_PROJECT}")):
        if not Path(os.fsdecode(note.read_bytes())).exists() and _drop(note.parent):
            dropped.append(note.parent)
    return dropped


def drop_unfinished(home: Path) -> None:
    """Delete data directories whose creation was interrupted."""
    for unfinished in home.glob("*.new"):
        shutil.rmtree(unfinished, ignore_errors=True)


def _drop(home: Path) -> bool:
    """Delete a home, unless a user or a keeper of its server holds a lock."""
    with (
        suppress(OSError),
        locked(home / "users"),
        locked(home / "keeper"),
    ):
        # A process that wants this server in the meantime creates a new home.
        doomed = home.rename(home.with_suffix(".gone"))
        shutil.rmtree(doomed, ignore_errors=True)
        return True
    return False
