"""Whether two sets of connection parameters may lead to the same database."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

from psycopg import pq
from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import URL

from .connecting import connect_parameters

_PLACE = ("service", "hostaddr", "host", "port", "dbname", "user")


def is_same_database(one: URL, other: URL) -> bool:
    """Whether two URLs may mean the same database. In doubt, they do."""
    return is_same_place(connect_parameters(one), connect_parameters(other))


def is_same_place(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether parameters of libpq may mean the same database."""
    (name, servers), (other_name, other_servers) = _place(one), _place(other)
    return name == other_name and bool(servers & other_servers)


def _place(parameters: dict[str, Any]) -> tuple[str | None, set[tuple[str, str]]]:
    """The database's name, and each address, with its port, at which it may be.

    ``here`` is every address of this machine.
    """
    found = _completed(parameters)
    hosts = found.get("host", "").split(",")
    # An address decides over the host, wherever either was found.
    addresses = found.get("hostaddr", "").split(",")
    ports = found.get("port", "").split(",")
    servers = set()
    for number in range(max(len(hosts), len(addresses))):
        name = _nth(addresses, number) or _nth(hosts, number)
        # One port is that of all hosts.
        port = (ports[0] if len(ports) == 1 else _nth(ports, number)) or "5432"
        servers |= {("here" if _is_here(one) else one, port) for one in _resolve(name)}
    return found.get("dbname"), servers


def _nth(values: list[str], number: int) -> str:
    return values[number] if number < len(values) else ""


def _completed(parameters: dict[str, Any]) -> dict[str, str]:
    """Parameters, and what libpq adds: from a service file, the environment, and its defaults.

    libpq itself is asked, by a connection that it refuses to make: no ``sslmode`` is called like
    that, which it finds after it has read everything, and before it looks up a host.
    """
    given = {key: str(parameters[key]) for key in _PLACE if parameters.get(key) is not None}
    conninfo = make_conninfo(**given, password="-", sslmode="-")
    asked = pq.PGconn.connect_start(conninfo.encode())
    found = {one.keyword.decode(): one.val.decode() for one in asked.info if one.val}
    asked.finish()
    # Nothing is found for a service that is not defined. Nobody can connect to that.
    return found or given


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
