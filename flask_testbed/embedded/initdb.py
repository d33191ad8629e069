"""Create the data directory of an embedded server."""

from __future__ import annotations

import logging
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path

from ..errors import ServerError
from .folders import give, run_as
from .parameters import environment_without_libpq

if sys.platform != "win32":
    import pwd

logger = logging.getLogger(__name__)

#: Every machine has this locale, so that texts sort alike everywhere.
_LOCALE = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]

_OPTIONS = [
    *("--username=postgres", "--auth=trust", "--encoding=UTF8", *_LOCALE),
    *("--no-sync", "--no-instructions"),
    *("-c", "timezone=UTC", "-c", "log_timezone=UTC"),
]


def create_data_directory(data: Path, binaries: Path, account: pwd.struct_passwd) -> None:
    """Run ``initdb`` in another folder and rename it, so that the directory is whole or absent.

    :param binaries: the folder of PostgreSQL's programs.
    :param account: the account that will run the server.
    :raises ServerError: ``initdb`` fails; the message is its own.
    """
    started = time.perf_counter()
    # The name is unique: if its parent process is killed, initdb goes on for a while.
    new = data.with_name(f"{data.name}-{secrets.token_hex(4)}.new")
    new.mkdir(mode=0o700)
    give(new, account)
    try:
        _initdb(new, binaries, account)
        new.rename(data)
    except BaseException:
        # On a full disk, the unfinished directory would occupy the space that is missing.
        shutil.rmtree(new, ignore_errors=True)
        raise
    logger.debug("created %s in %.1f s", data, time.perf_counter() - started)


def _initdb(folder: Path, binaries: Path, account: pwd.struct_passwd) -> None:
    done = subprocess.run(
        [binaries / "initdb", "-D", folder, *_OPTIONS],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=environment_without_libpq(),
        **run_as(account),
    )
    if done.returncode:
        raise ServerError(
            f"The embedded PostgreSQL server cannot be created in {folder}:"
            f" {' '.join(done.stderr.split())} Free some space, or choose another folder with"
            " FLASK_TESTBED_HOME."
        )
