"""A connection pooler as PgBouncer is one: with a session for each connection or transaction."""

from __future__ import annotations

import secrets
import select
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from .servers import Stock
from .waiting import PATIENCE

_TOLD = ["server_version", "server_encoding", "client_encoding", "is_superuser", "DateStyle"]
_TOLD += ["standard_conforming_strings", "TimeZone", "integer_datetimes", "IntervalStyle"]

Key = tuple[tuple[str, str], ...]
Server = tuple[socket.socket, "psycopg.Connection[Any]"]


class Pooler:
    """Listens on a port, and lends sessions of a server.

    :param stock: the server.
    :param mode: ``session``, ``transaction`` or ``statement``, as PgBouncer's ``pool_mode``.
    """

    def __init__(self, stock: Stock, mode: str) -> None:
        self._stock, self._mode = stock, mode
        self._idle: defaultdict[Key, list[Server]] = defaultdict(list)
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = self._listener.getsockname()[1]
        self._clients: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def url(self, database: str, role: str) -> str:
        """The URL of a database, through the pooler."""
        url = make_url(self._stock.url(database, role)).set(port=self._port)
        return url.render_as_string(hide_password=False)

    def close(self) -> None:
        """Stop listening, and close the sessions that are not lent."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
        for servers in self._idle.values():
            for server in servers:
                _end(server)

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        # A connection to a database that does not exist is closed.
        with client, suppress(OSError, EOFError, psycopg.Error):
            key = _startup(client)
            server = self._take(key)
            client.sendall(_welcome(server[1]))
            lent: Server | None = server
            if self._mode != "session":
                lent = self._give_back(key, server)
            try:
                while (data := client.recv(1 << 16)) and not data.startswith(b"X"):
                    lent = lent or self._take(key)
                    if self._relay(client, data, lent) and self._mode != "session":
                        lent = self._give_back(key, lent)
            finally:
                if lent is not None:
                    self._take_back(key, lent)

    def _take(self, key: Key) -> Server:
        with self._lock:
            while self._idle[key]:
                server = self._idle[key].pop()
                if not select.select([server[0]], [], [], 0)[0]:
                    return server
                _end(server)  # the server has closed it
        given = dict(key)
        url = self._stock.url(given.pop("database"), given.pop("user"))
        connection = psycopg.connect(url, autocommit=True, prepare_threshold=None, **given)  # type: ignore[arg-type]
        return socket.socket(fileno=socket.dup(connection.fileno())), connection

    def _give_back(self, key: Key, server: Server) -> None:
        with self._lock:
            self._idle[key].append(server)

    def _take_back(self, key: Key, server: Server) -> None:
        """Clean a session that was lent to a connection, as PgBouncer does."""
        try:
            server[1].execute("DISCARD ALL")
            self._give_back(key, server)
        except psycopg.Error:  # it has ended, or a transaction is open in it
            _end(server)

    def _relay(self, client: socket.socket, data: bytes, server: Server) -> bool:
        """Pass messages on until the server is ready; return whether no transaction is open."""
        side, buffer = server[0], b""
        side.sendall(data)
        while True:
            for one in select.select([client, side], [], [])[0]:
                data = one.recv(1 << 16)
                if not data or (one is client and data.startswith(b"X")):
                    raise EOFError
                (side if one is client else client).sendall(data)
                buffer += data if one is side else b""
            while len(buffer) >= 5 and len(buffer) > (size := _size(buffer)):
                message, buffer = buffer[: size + 1], buffer[size + 1 :]
                if message.startswith(b"Z"):
                    return message.endswith(b"I")


def _end(server: Server) -> None:
    server[0].close()
    server[1].close()


def _size(message: bytes) -> int:
    return int(struct.unpack("!I", message[1:5])[0])


def _startup(client: socket.socket) -> Key:
    """Return the parameters of a new connection."""
    while True:
        size, code = struct.unpack("!II", client.recv(8, socket.MSG_WAITALL))
        if code == 196608:  # version 3.0 of the protocol
            words = client.recv(size - 8, socket.MSG_WAITALL).decode().split("\0")
            return tuple(zip(words[:-2:2], words[1:-2:2], strict=True))
        client.sendall(b"N")  # neither TLS nor GSSAPI


def _welcome(connection: psycopg.Connection[Any]) -> bytes:
    """Return the answer to a new connection, with a number of the pooler's own."""
    told = {name: connection.info.parameter_status(name) for name in _TOLD}
    parts = [(b"R", struct.pack("!I", 0))]
    parts += [(b"S", f"{name}\0{value}\0".encode()) for name, value in told.items()]
    parts += [(b"K", secrets.token_bytes(8)), (b"Z", b"I")]
    return b"".join(kind + struct.pack("!I", len(body) + 4) + body for kind, body in parts)


@contextmanager
def pooler(stock: Stock, mode: str) -> Iterator[Pooler]:
    """Run a pooler until the end of a block."""
    running = Pooler(stock, mode)
    try:
        yield running
    finally:
        running.close()
