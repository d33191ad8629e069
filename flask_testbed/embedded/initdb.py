"""Create the data directory of an embedded server."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from secrets import token_hex
from subprocess import DEVNULL, PIPE, Popen

from ..errors import ServerError
from .folders import Account, give, is_known, run_as
from .keeper import now
from .launching import communicate_within
from .parameters import server_environment

logger = logging.getLogger(__name__)

#: Every machine has this locale, so that texts sort alike everywhere.
_LOCALE = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]

#: Seconds within which initdb must have ended.
_TIMEOUT = 300

_OPTIONS = [
    *("--username=postgres", "--auth=trust", "--encoding=UTF8", *_LOCALE),
    *("--no-sync", "--no-instructions"),
    *("-c", "timezone=UTC", "-c", "log_timezone=UTC"),
]


def create_data_directory(data: Path, binaries: Path, account: Account) -> None:
    """Run ``initdb`` in another folder and rename it, so that the directory is whole or absent.

    :param binaries: the folder of PostgreSQL's programs.
    :param account: the account that will run the server.
    :raises ServerError: ``initdb`` fails; the message is its own.
    """
    started = now()
    # The name is unique: if its parent process is killed, initdb goes on for a while.
    new = data.with_name(f"{data.name}-{token_hex(4)}.new")
    new.mkdir(mode=0o700)
    give(new, account)
    try:
        _initdb(new, binaries, account)
        new.rename(data)
    except BaseException:
        # On a full disk, the unfinished directory would occupy the space that is missing.
        shutil.rmtree(new, ignore_errors=True)
        raise
    logger.debug("created %s in %.1f s", data, now() - started)


def _initdb(folder: Path, binaries: Path, account: Account) -> None:
    if not is_known(account.uid):
        raise ServerError(
            f"The embedded PostgreSQL server cannot be created, since the user ID {account.uid} has"
            " no entry in /etc/passwd, which PostgreSQL's initdb requires. Add one (in a"
            f" Dockerfile: RUN useradd --uid {account.uid} app), or use a server of your own, with"
            " DATABASE_URL and TEST_DATABASE_URL."
        )
    with Popen(
        [binaries / "initdb", "-D", folder, *_OPTIONS],
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
        cwd="/",
        env=server_environment(),
        **run_as(account),
    ) as program:
        (said,) = communicate_within(program, _TIMEOUT)
    if program.returncode:
        reason = " ".join(said.decode(errors="replace").split()) or "initdb was killed."
        raise ServerError(
            f"The embedded PostgreSQL server cannot be created in {folder}: {reason} Free some"
            " space, or choose another folder with FLASK_TESTBED_HOME."
        )
