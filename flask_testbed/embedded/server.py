"""The embedded server: a PostgreSQL of the project's own, one for each purpose."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep
from typing import BinaryIO

from sqlalchemy.engine import URL

from ..errors import ServerError
from .folders import Account, account_of, give, is_reachable, locked, make_folder, run_as
from .initdb import create_data_directory
from .keeper import (
    ANSWER_TIMEOUT,
    START_TIMEOUT,
    STOP_AT_MOST,
    Config,
    answers,
    lock,
    now,
    open_private,
)
from .launching import launch
from .leftovers import drop_leftovers, drop_unfinished, note_project
from .parameters import server_environment
from .places import PORT, SOCKET, Purpose, find_home, find_sockets, memory_folder
from .programs import binaries_for, version
from .signals import children_awaited

# Windows lacks this module. EmbeddedServer.start() refuses to run there.
if sys.platform != "win32":
    import fcntl

logger = logging.getLogger(__name__)

#: Seconds that a process waits for another one that creates or starts the server.
WAIT_AT_MOST = 5 * START_TIMEOUT + STOP_AT_MOST

#: Seconds after which a keeper has noticed that its server has no user.
NOTICE_STOP = 1

_SETTINGS: dict[Purpose, dict[str, str]] = {
    "development": {},
    # The data of tests need not survive a crash. Autovacuum would only delay DROP DATABASE and
    # clones; the tables that tests have filled are truncated by the reset.
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
    """A PostgreSQL server of the project's own, which runs while at least one process uses it.

    The constructor neither starts nor creates anything.

    :param instance: the application's instance folder. Each one has its own servers.
    :param purpose: the data of ``"development"`` survives a crash and is in the instance folder;
        ``"test"`` is fast, and its data is in memory if there is room.
    """

    instance: Path
    purpose: Purpose
    _use: BinaryIO | None = field(default=None, init=False)
    """The file on which this process holds a user's lock, while it is one."""

    def __repr__(self) -> str:
        state = "released" if self._use is None else "started"
        return f"<EmbeddedServer for {self.purpose} in {str(self.home)!r}, {state}>"

    @property
    def home(self) -> Path:
        """The folder that holds the data directory and the lock files."""
        return find_home(self.instance, self.purpose)

    @property
    def data(self) -> Path:
        """The data directory. Each major version of PostgreSQL has its own."""
        return self.home / f"pg{version().split('.')[0]}"

    @property
    def sockets(self) -> Path:
        """The folder that holds the socket."""
        return find_sockets(self.home, self.instance, self.purpose)

    def url(self, database: str) -> URL:
        """Return the URL of a database on this server, without starting it."""
        return URL.create(
            "postgresql+psycopg",
            username="postgres",
            database=database,
            # The port is part of the socket's name. Without it, libpq would read PGPORT.
            query={"host": str(self.sockets), "port": PORT},
        )

    def start(self) -> None:
        """Start the server if it does not run, and use it until :meth:`release`.

        The end of the process releases it, too.

        :raises ServerError: the server cannot be created or started.
        """
        if self._use is not None:
            return
        if sys.platform == "win32":
            raise ServerError(
                "The embedded PostgreSQL server does not run on Windows yet."
                " Use a server of your own, with DATABASE_URL and TEST_DATABASE_URL."
            )
        try:
            with children_awaited():
                self._start()
        except BlockingIOError as error:
            raise ServerError(
                f"Another process has been starting or stopping the embedded PostgreSQL server in"
                f" {self.home} for a long time. See what it does, or end it, and try again."
            ) from error
        except OSError as error:
            raise ServerError(
                f"The embedded PostgreSQL server cannot be kept in {self.home}: {error.strerror}"
                f" ({error.filename}). Give it a folder that can be written, with"
                " FLASK_TESTBED_HOME, or use a server of your own, with"
                " DATABASE_URL and TEST_DATABASE_URL."
            ) from error

    def release(self) -> None:
        """Stop using the server. It stops soon after its last user has released it."""
        if self._use is not None:
            with suppress(OSError):  # a test may have closed all descriptors
                self._use.close()
            self._use = None
            logger.debug("released %s", self.home)

    def drop_leftovers(self) -> list[Path]:
        """Delete the test servers in memory whose projects were deleted, and return their homes."""
        return drop_leftovers(memory_folder())

    def _start(self) -> None:
        make_folder(self.home)
        if not self._use_running():
            # Without a user it is stopped, and then it can be started anew.
            self._wait_until_stopped()
            if not self._use_running():
                raise self._does_not_answer()
        logger.debug("using %s", self.home)

    def _use_running(self) -> bool:
        """Become a user of the server, and ensure that it runs; return whether it answers."""
        self._use = open_private(self.home / "users")
        answers = False
        try:
            # The order matters: while this process holds the lock, no keeper stops the server.
            lock(self._use, fcntl.LOCK_SH, STOP_AT_MOST)
            with locked(self.home / "start", WAIT_AT_MOST):
                answers = self._ensure_running()
        finally:
            if not answers:
                self.release()
        return answers

    def _wait_until_stopped(self) -> None:
        """Wait until the keeper of a server that does not answer has stopped it.

        :raises ServerError: other processes use it, so that it is not stopped.
        """
        end = now() + STOP_AT_MOST
        with open_private(self.home / "users") as users:
            sleep(NOTICE_STOP)
            while self._has_keeper():
                # The keeper has the lock of all users while it stops the server.
                with suppress(BlockingIOError):
                    lock(users, fcntl.LOCK_SH, 0)
                    raise self._does_not_answer()
                if now() > end:
                    raise self._does_not_answer()
                sleep(0.02)

    def _does_not_answer(self) -> ServerError:
        return ServerError(
            f"The embedded PostgreSQL server in {self.data} runs, but does not answer at"
            f" {self.sockets / SOCKET}, and other processes use it. End them (fuser"
            f" {self.home / 'users'} shows which) and try again."
        )

    def _ensure_running(self) -> bool:
        """Create the server and start it, as far as another process has not done so.

        :returns: False if it runs and does not answer.
        """
        account = account_of(self.data)
        self._check_reachable(account)
        binaries = binaries_for(account)
        if not self.data.exists():
            self.drop_leftovers()
            note_project(self.home, self.instance)
            create_data_directory(self.data, binaries, account)
        end = now() + ANSWER_TIMEOUT
        while self._has_keeper():
            if answers(str(self.sockets / SOCKET)):
                return True
            if now() > end:
                return False
            sleep(0.005)  # it may be ending
        drop_unfinished(self.home)
        self._run_keeper(binaries, account)
        return True

    def _check_reachable(self, account: Account) -> None:
        if account.uid != os.geteuid() and not is_reachable(self.home):
            raise ServerError(
                f"PostgreSQL does not run as root, and the user {account.name!r} cannot reach"
                f" {self.home}: a folder on the way is closed to others. Choose another with"
                " FLASK_TESTBED_HOME."
            )

    def _has_keeper(self) -> bool:
        try:
            with locked(self.home / "keeper"):
                return False
        except BlockingIOError:
            return True

    def _run_keeper(self, binaries: Path, account: Account) -> None:
        """Start a keeper, and with it the server."""
        make_folder(self.sockets)
        give(self.sockets, account)
        config = Config(
            home=str(self.home),
            data=str(self.data),
            socket=str(self.sockets / SOCKET),
            postgres=str(binaries / "postgres"),
            pg_ctl=str(binaries / "pg_ctl"),
            settings=self._settings(),
            run_as=run_as(account),
        )
        if reason := launch(config, server_environment()):
            raise ServerError(
                f"The embedded PostgreSQL server in {self.data} does not start:"
                f" {reason} If you do not need its data, delete that folder."
            )
        logger.debug("started PostgreSQL %s in %s", version(), self.data)

    def _settings(self) -> list[str]:
        """Return the settings of the server, each as ``name=value``."""
        settings = _SETTINGS[self.purpose] | {
            "listen_addresses": "",
            "port": PORT,
            # Clients are trusted without a password, because only the server's account and root
            # may open the socket.
            "unix_socket_permissions": "0700",
            "unix_socket_directories": str(self.sockets),
        }
        return ["=".join(setting) for setting in settings.items()]
