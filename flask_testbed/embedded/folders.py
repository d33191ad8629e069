"""The folders of embedded servers, and the account that PostgreSQL runs as in them."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ServerError
from .keeper import lock, open_private

# Windows has neither module. EmbeddedServer.start() refuses to run there.
if sys.platform != "win32":
    import fcntl
    import pwd

#: A file system in memory.
MEMORY = Path("/dev/shm")

#: Not the folder of TMPDIR: processes that share a server may have different values of it.
TEMPORARY = Path("/tmp")

#: The folder for servers that root starts and whose account cannot reach the usual folders.
SYSTEM = Path("/var/lib/flask-testbed")


class Account(NamedTuple):
    """An account that runs a server. It need not be in the database of users."""

    uid: int
    gid: int
    name: str


def account_of(data: Path) -> Account:
    """Return the account that runs the server with this data directory.

    That is the current user's account. PostgreSQL refuses to run as root, so for root it is the
    account that owns the data directory, or else ``postgres``, or else ``nobody``.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), _name_of(os.geteuid()))
    if data.exists():
        owner = data.stat()
        return Account(owner.st_uid, owner.st_gid, _name_of(owner.st_uid))
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid, name)
    raise ServerError(
        "PostgreSQL does not run as root, and there is neither a user 'postgres' nor 'nobody'."
        " Run as an ordinary user, or use a server of your own, with TEST_DATABASE_URL."
    )


def _name_of(uid: int) -> str:
    return pwd.getpwuid(uid).pw_name if is_known(uid) else str(uid)


def is_known(uid: int) -> bool:
    """Return whether a user has an entry in the database of users."""
    try:
        return bool(pwd.getpwuid(uid))
    except KeyError:
        return False


def run_as(account: Account) -> dict[str, Any]:
    """Return the arguments of :class:`subprocess.Popen` that start a program as an account."""
    if account.uid == os.geteuid():
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def give(path: Path, account: Account) -> None:
    """Make an account the owner of a file or folder."""
    if account.uid != os.geteuid():
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def is_reachable(path: Path) -> bool:
    """Return whether the server's account can pass through every folder on a path.

    Folders that do not exist yet do not count. Only root runs the server as another account.
    """
    if os.geteuid() != 0:
        return True
    existing = [part for part in [path, *path.parents] if part.exists()]
    return all(part.stat().st_mode & stat.S_IXOTH for part in existing)


def is_writable(folder: Path) -> bool:
    """Return whether a folder can be written to or, if it does not exist, created."""
    while not folder.exists():
        folder = folder.parent
    return os.access(folder, os.W_OK | os.X_OK)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, closed to other users.

    The folders that root creates can be passed through, but not listed, by other users.

    :raises ServerError: the folder exists and belongs to another user.
    """
    mode = 0o711 if os.geteuid() == 0 else 0o700
    for part in reversed([folder, *folder.parents]):
        if not part.exists():
            # Only what was created here is opened: another user may have been faster, with a link.
            with suppress(FileExistsError):
                part.mkdir(mode=0o700)
                part.chmod(mode)
    shared = {MEMORY, TEMPORARY}
    for part in [folder, *folder.parents]:
        if part.parent in shared and (part.is_symlink() or part.stat().st_uid != os.geteuid()):
            raise ServerError(
                f"The folder {part} belongs to another user. Delete it, or choose another folder"
                " for the embedded server, with FLASK_TESTBED_HOME."
            )


@contextmanager
def locked(path: Path, seconds: float = 0) -> Iterator[None]:
    """Hold an exclusive lock on a file. The kernel releases it if the process dies.

    :param seconds: how long to wait for it at most.
    :raises BlockingIOError: another process holds it.
    """
    with open_private(path) as file:
        lock(file, fcntl.LOCK_EX, seconds)
        yield
