"""Whether two sets of connection parameters may lead to the same database."""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address
from typing import Any

from sqlalchemy.engine import URL

from .connecting import connect_parameters


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
