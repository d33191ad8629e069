"""Compare connection parameters: may two of them lead to the same database?"""

from __future__ import annotations

from ipaddress import ip_address
from socket import AF_INET, AF_INET6, SOCK_DGRAM, getaddrinfo, socket
from typing import Any

from psycopg import pq
from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import URL

from .connecting import connect_parameters

#: The parameters that decide to which database a connection leads.
_PLACE = ("service", "hostaddr", "host", "port", "dbname", "user")


def is_same_database(one: URL, other: URL) -> bool:
    """Return whether two URLs may lead to the same database. If in doubt, return True."""
    return is_same_place(connect_parameters(one), connect_parameters(other))


def is_same_place(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two sets of libpq's parameters may lead to the same database."""
    (name, servers), (other_name, other_servers) = _place(one), _place(other)
    return name == other_name and bool(servers & other_servers)


def _place(parameters: dict[str, Any]) -> tuple[str | None, set[tuple[str, str]]]:
    """Return the name of a database, and the addresses, each with its port, of its servers.

    The address ``here`` stands for all addresses of this machine.
    """
    found = _completed(parameters)
    hosts = found.get("host", "").split(",")
    # hostaddr has precedence over host, even if it was found in the environment.
    addresses = found.get("hostaddr", "").split(",")
    ports = found.get("port", "").split(",")
    servers = set()
    for number in range(max(len(hosts), len(addresses))):
        name = _nth(addresses, number) or _nth(hosts, number)
        # A single port applies to all hosts.
        port = (ports[0] if len(ports) == 1 else _nth(ports, number)) or "5432"
        servers |= {("here" if _is_here(one) else one, port) for one in _resolve(name)}
    return found.get("dbname"), servers


def _nth(values: list[str], number: int) -> str:
    return values[number] if number < len(values) else ""


def _completed(parameters: dict[str, Any]) -> dict[str, str]:
    """Return parameters with what libpq adds: from a service file, the environment, its defaults.

    libpq adds them to a connection whose ``sslmode`` is invalid. It notices that after it has
    read everything, and before it looks up a host, so it does not connect.
    """
    given = {key: str(parameters[key]) for key in _PLACE if parameters.get(key) is not None}
    conninfo = make_conninfo(**given, password="-", sslmode="-")
    asked = pq.PGconn.connect_start(conninfo.encode())
    found = {one.keyword.decode(): one.val.decode() for one in asked.info if one.val}
    asked.finish()
    # For a service that is not defined, libpq returns nothing, and no connection is possible.
    return found or given


def _resolve(host: str) -> set[str]:
    # The folder of a socket, or no host at all, means this machine.
    if host.rstrip(".") in {"", "localhost"} or host.startswith(("/", "@")):
        return {"127.0.0.1"}
    try:
        return {str(info[4][0]) for info in getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return {host}


def _is_here(address: str) -> bool:
    """Return whether an address is one of this machine: a socket can be bound to it."""
    try:
        ip = ip_address(address.split("%")[0])
    except ValueError:
        return False
    if ip.is_loopback or ip.is_unspecified:
        return True
    family = AF_INET6 if ip.version == 6 else AF_INET
    with socket(family, SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
