"""The embedded server: a PostgreSQL that pip installs, one cluster for each purpose.

Only this file and :mod:`.keeper` know the package that brings the server. What it has of Python
is not used: as root it would open the parents of its own folder and of the data folder to
everybody, and create a system user.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sqlalchemy.engine import URL

from ..errors import ServerError
from .folders import (
    MEMORY,
    SYSTEM,
    TEMPORARY,
    account_of,
    give,
    is_reachable,
    is_writable,
    locked,
    make_folder,
    run_as,
)
from .keeper import answers
from .parameters import PORT, environment_without_libpq
from .programs import binaries_for, version
from .unused import drop_abandoned, note_project

# Neither exists on Windows, where start() says what to use instead.
if sys.platform != "win32":
    import fcntl
    import pwd

Purpose = Literal["development", "test"]


SOCKET = f".s.PGSQL.{PORT}"

#: The longest path of a socket that every system takes (Linux 107 bytes, macOS 103).
LONGEST_SOCKET = 103

#: Free bytes that a memory file system must have; a container's /dev/shm may hold 64 MB.
MEMORY_NEEDED = 1 << 30

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
        make_folder(self.home)
        # The order matters: the keeper stops the server only while nobody holds `users`.
        self._use = os.open(self.home / "users", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._use, fcntl.LOCK_SH)
        try:
            with locked(self.home / "start"):
                account = account_of(self.data)
                self._check_reachable(account)
                binaries = binaries_for(account)
                if not self.data.exists():
                    self._initialise(binaries, account)
                if not self._is_up():
                    self._clear_leftovers()
                    self._run_keeper(binaries, account)
        except BaseException:
            self.release()
            raise

    def _check_reachable(self, account: pwd.struct_passwd) -> None:
        if account.pw_uid != os.geteuid() and not is_reachable(self.home):
            raise ServerError(
                f"PostgreSQL does not run as root, and the user {account.pw_name!r} cannot reach"
                f" {self.home}: a folder on the way is closed to others. Choose another with"
                " FLASK_TESTBED_HOME."
            )

    @property
    def home(self) -> Path:
        """The folder that holds the cluster and its locks."""
        for folder in self._candidates():
            if folder.exists() or is_writable(folder):
                return folder
        return self._candidates()[-1]

    @property
    def data(self) -> Path:
        """The data directory. Another major version of PostgreSQL gets another one."""
        return self.home / f"pg{version().split('.')[0]}"

    @property
    def sockets(self) -> Path:
        """The folder of the socket: in the home, unless libpq could not take its path."""
        here = self.home / "sockets"
        # libpq takes a comma for one between hosts.
        if len(os.fsencode(here / SOCKET)) <= LONGEST_SOCKET and "," not in str(here):
            return here
        return TEMPORARY / f"flask-testbed-{os.geteuid()}" / self._key()

    def _candidates(self) -> list[Path]:
        """The places where the cluster may live, best first."""
        if chosen := os.environ.get("FLASK_TESTBED_HOME"):
            return [Path(chosen).absolute() / self._key()]
        here = self.instance / "postgres" / self.purpose
        # As root, the server runs as another user, who must be able to reach it.
        places = [here] if is_reachable(here) else [SYSTEM / self._key()]
        if self.purpose == "test" and self._fits_in_memory():
            places.insert(0, self._in_memory())
        return places

    def _in_memory(self) -> Path:
        return MEMORY / f"flask-testbed-{os.geteuid()}" / self._key()

    def _fits_in_memory(self) -> bool:
        if self._in_memory().exists():
            return True
        if not os.access(MEMORY, os.W_OK | os.X_OK):
            return False
        room = os.statvfs(MEMORY)
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
        give(new, account)
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
                command,
                capture_output=True,
                text=True,
                check=False,
                cwd="/",
                env=environment_without_libpq(),
                **run_as(account),
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
        make_folder(self.sockets)
        give(self.sockets, account)
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
            "run_as": run_as(account),
        }
        keeper = Path(__file__).with_name("keeper.py")
        started = subprocess.run(
            [sys.executable, "-I", "-S", keeper, json.dumps(config)],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            # A server takes PGPORT, PGDATESTYLE and PGCLIENTENCODING for settings.
            env=environment_without_libpq(),
        )
        if started.returncode:
            raise ServerError(
                f"The embedded PostgreSQL server in {self.data} does not start:"
                f" {started.stderr.strip()} If its data is of no worth, delete that folder."
            )
