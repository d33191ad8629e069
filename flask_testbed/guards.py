"""What may be destroyed: the rules that need no look at the server.

A database may be dropped, reset or overwritten only if all of these hold, and
:meth:`.database.Cluster.check_mark` finds the engine's mark on it or a person has confirmed.
"""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address
from typing import Any

from sqlalchemy.engine import URL

from .errors import RefusedError
from .server import connect_parameters
from .settings import DISPOSABLE, Target

SYSTEM = {"postgres", "template0", "template1"}
_WAY_OUT = (
    "Point TEST_DATABASE_URL at a database of its own whose name ends in '_test';"
    " it need not exist."
)


def check_target(target: Target, name: str | None = None) -> None:
    """Refuse a database that may not be destroyed, by its name and place alone.

    :param name: one of the target's databases, by default the target itself.
    :raises RefusedError: names the database, the rule and the way out.
    """
    name = target.name if name is None else name
    if target.production:
        raise RefusedError(
            f"Refused: {name!r} is not touched, because the application runs in production"
            " configuration, where no database is made, reset or dropped. Run this with"
            " APP_ENV=development, or without FLASK_ENV=production."
        )
    if name in SYSTEM:
        raise RefusedError(f"Refused: {name!r} is a database of the server's own. {_WAY_OUT}")
    if target.own is not None and is_same_database(target.url.set(database=name), target.own):
        raise RefusedError(
            f"Refused: {name!r} is the application's own database (SQLALCHEMY_DATABASE_URI)."
            f" {_WAY_OUT}"
        )
    if not DISPOSABLE.fullmatch(name):
        raise RefusedError(
            f"Refused: the name of {name!r} ({target.source}) does not end in '_test'. {_WAY_OUT}"
        )


def is_same_database(one: URL, other: URL) -> bool:
    """Whether two URLs may mean the same database. In doubt, they do."""
    return is_same_place(connect_parameters(one), connect_parameters(other))


def is_same_place(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether parameters of libpq may mean the same database."""
    if one.get("dbname") != other.get("dbname") or _port(one) != _port(other):
        return False
    return bool(_addresses(one) & _addresses(other))


def _port(parameters: dict[str, Any]) -> str:
    return str(parameters.get("port") or os.environ.get("PGPORT") or 5432)


def _addresses(parameters: dict[str, Any]) -> set[str]:
    """Every address for which the host may stand; ``here`` for each of this machine."""
    given = [parameters.get("hostaddr"), parameters.get("host")]
    given += [os.environ.get("PGHOSTADDR"), os.environ.get("PGHOST")]
    host = next((str(value) for value in given if value), "")
    found: set[str] = set()
    for name in host.split(","):
        found |= {"here" if _is_here(address) else address for address in _resolve(name)}
    return found


def _resolve(host: str) -> set[str]:
    # A socket's folder, as nothing at all, is on this machine.
    if host.rstrip(".") in {"", "localhost"} or host.startswith(("/", "@")):
        return {"127.0.0.1"}
    try:
        return {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return {host}


def _is_here(address: str) -> bool:
    """Whether an address is this machine's: then a socket can be bound to it."""
    try:
        ip = ip_address(address.split("%")[0])
    except ValueError:
        return False
    if ip.is_loopback or ip.is_unspecified:
        return True
    family = socket.AF_INET6 if ip.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
