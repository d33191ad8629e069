"""Where an embedded server keeps its data and its socket."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Literal

from .folders import MEMORY, SYSTEM, TEMPORARY, is_reachable, is_writable

Purpose = Literal["development", "test"]

PORT = "5432"

#: The name of the socket's file, which libpq derives from the port.
SOCKET = f".s.PGSQL.{PORT}"

#: The longest path in bytes that every system accepts for a socket (Linux 107, macOS 103).
LONGEST_SOCKET = 103

# The paths that find_sockets may return.
_SOCKETS = re.compile(
    rf"/.*/(postgres/(development|test)|[0-9a-f]{{12}})/sockets/*|{TEMPORARY}/flask-testbed-\d+/\w{{12}}/*"
)

#: Free bytes that a file system in memory must have. The /dev/shm of a container may hold 64 MB.
MEMORY_NEEDED = 1 << 30


def find_home(instance: Path, purpose: Purpose) -> Path:
    """Return the folder that holds a server's data directory and lock files.

    It is the first candidate that exists or can be created.
    """
    candidates = _candidates(instance, purpose)
    usable = (folder for folder in candidates if folder.exists() or is_writable(folder))
    return next(usable, candidates[-1])


def _candidates(instance: Path, purpose: Purpose) -> list[Path]:
    """Return the folders in which a server may be, the best one first."""
    name = _key(instance, purpose)
    if chosen := os.environ.get("FLASK_TESTBED_HOME"):
        return [Path(chosen).absolute() / name]
    here = instance / "postgres" / purpose
    # As root, the server runs as another user, who must be able to reach the folder.
    candidates = [here] if is_reachable(here) else [SYSTEM / name]
    in_memory = memory_folder() / name
    if purpose == "test" and (in_memory.exists() or _is_memory_large_enough()):
        candidates.insert(0, in_memory)
    return candidates


def memory_folder() -> Path:
    """Return the folder in memory that holds the homes of the current user's test servers."""
    return MEMORY / f"flask-testbed-{os.geteuid()}"


def _is_memory_large_enough() -> bool:
    if not os.access(MEMORY, os.W_OK | os.X_OK):
        return False
    room = os.statvfs(MEMORY)
    return room.f_bavail * room.f_frsize >= MEMORY_NEEDED


def find_sockets(home: Path, instance: Path, purpose: Purpose) -> Path:
    """Return the folder of a server's socket: in its home, unless libpq cannot use that path."""
    here = home / "sockets"
    # libpq reads a comma as the separator between two hosts.
    if len(os.fsencode(here / SOCKET)) <= LONGEST_SOCKET and "," not in str(here):
        return here
    return TEMPORARY / f"flask-testbed-{os.geteuid()}" / _key(instance, purpose)


def is_socket_folder(path: str) -> bool:
    """Return whether a path is that of an embedded server's socket folder, in any project."""
    return _SOCKETS.fullmatch(path) is not None


def _key(instance: Path, purpose: Purpose) -> str:
    """Return a name that is unique to a server."""
    identity = f"{instance.absolute()}:{purpose}"
    return hashlib.sha256(identity.encode()).hexdigest()[:12]
