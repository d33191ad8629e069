"""The folders of embedded servers: whose they are, and who can reach them."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ServerError

# Neither exists on Windows, where start() says what to use instead.
if sys.platform != "win32":
    import fcntl
    import pwd

MEMORY = Path("/dev/shm")

# Not TMPDIR's: two processes that use one server may have different ones.
TEMPORARY = Path("/tmp")

SYSTEM = Path("/var/lib/flask-testbed")


def account_of(data: Path) -> pwd.struct_passwd:
    """The account that runs the server: one's own, since PostgreSQL refuses to run as root.

    For root it is whoever owns the data, else ``postgres``, else ``nobody``.
    """
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    if data.exists():
        return pwd.getpwuid(data.stat().st_uid)
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ServerError(
        "PostgreSQL does not run as root, and there is neither a user 'postgres' nor 'nobody'."
        " Run as an ordinary user, or use a server of your own, with TEST_DATABASE_URL."
    )


def run_as(account: pwd.struct_passwd) -> dict[str, Any]:
    """Arguments of :class:`subprocess.Popen`."""
    if account.pw_uid == os.geteuid():
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def give(folder: Path, account: pwd.struct_passwd) -> None:
    if account.pw_uid != os.geteuid():
        os.chown(folder, account.pw_uid, account.pw_gid)


def is_reachable(path: Path) -> bool:
    """Whether the server's account, for root another one, can pass through all that exists."""
    if os.geteuid() != 0:
        return True
    existing = [part for part in [path, *path.parents] if part.exists()]
    return all(part.stat().st_mode & stat.S_IXOTH for part in existing)


def is_writable(folder: Path) -> bool:
    """Whether the folder can be made, or is there and can be written."""
    while not folder.exists():
        folder = folder.parent
    return os.access(folder, os.W_OK | os.X_OK)


def make_folder(folder: Path) -> None:
    """Make a folder of the engine's own, closed to others, but for passing through as root.

    :raises ServerError: it is there, and somebody else's.
    """
    mode = 0o711 if os.geteuid() == 0 else 0o700
    for part in reversed([folder, *folder.parents]):
        if not part.exists():
            part.mkdir(exist_ok=True)
            part.chmod(mode)
    shared = {MEMORY, TEMPORARY}
    for part in [folder, *folder.parents]:
        if part.parent in shared and (part.is_symlink() or part.stat().st_uid != os.geteuid()):
            raise ServerError(
                f"The folder {part} belongs to somebody else. Delete it, or choose another"
                " place for the embedded server, with FLASK_TESTBED_HOME."
            )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file. The kernel releases that of a process that dies."""
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
