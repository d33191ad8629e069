"""Test servers in memory whose projects are gone: nobody deletes them with the project's folder."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

#: The file in a server's home that names the folder of its project.
_PROJECT = "project"


def note_project(home: Path, instance: Path) -> None:
    """Write down whose a server is.

    :param home: the folder of the server.
    :param instance: the application's instance folder. Neither that nor, for an installed
        application, the folder above need be there yet.
    """
    project = next(folder for folder in instance.absolute().parents if folder.exists())
    (home / _PROJECT).write_text(str(project))


def drop_abandoned(folder: Path) -> list[Path]:
    """Delete the servers in a folder whose projects are gone, unless somebody uses them.

    :param folder: it holds the homes of servers for tests, and nothing else.
    :returns: the homes that are gone.
    """
    dropped = []
    for note in sorted(folder.glob(f"*/{_PROJECT}")):
        if not Path(note.read_text()).exists() and _drop(note.parent):
            dropped.append(note.parent)
    return dropped


def _drop(home: Path) -> bool:
    with suppress(OSError), _unused(home):
        # Under another name whoever comes for it just now makes another.
        doomed = home.rename(home.with_suffix(".gone"))
        shutil.rmtree(doomed, ignore_errors=True)
        return True
    return False


@contextmanager
def _unused(home: Path) -> Iterator[None]:
    """Hold the locks of a server's users and of its keeper.

    :raises OSError: somebody else has one.
    """
    with ExitStack() as files:
        for name in ("users", "keeper"):
            file = files.enter_context(open(home / name, "a"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
