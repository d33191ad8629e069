"""Another address of a server: a port that forwards what it gets, as a proxy or a tunnel does."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def forwarding_to(port: int) -> Iterator[int]:
    """Yield a port on this machine that leads to another one."""

    class Handler(socketserver.BaseRequestHandler):
        """One connection."""

        def handle(self) -> None:
            """Copy what either side sends, until both have ended."""
            with socket.create_connection(("127.0.0.1", port)) as server:
                back = threading.Thread(target=_copy, args=(server, self.request))
                back.start()
                _copy(self.request, server)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as forwarder:
        thread = threading.Thread(target=forwarder.serve_forever, args=(0.01,))
        thread.start()
        yield forwarder.server_address[1]
        forwarder.shutdown()
        thread.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
