"""A live server in a thread, on the test database, for browsers and HTTP clients."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer


class LiveServer:
    """Serves an application over HTTP, in threads of this process.

    It has the attributes of pytest-flask's live server. That one forks, and a forked process has
    neither the test's connection nor its isolation.

    :param app: the application.
    :param host: the address to listen on, by default of the loopback interface.
    :param port: the port to listen on; 0 for a free one.
    """

    def __init__(self, app: Flask, host: str = "127.0.0.1", port: int = 0) -> None:
        self.app = app
        self.host = host
        self.port = port
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen, and answer each request in a thread. Calling it again has no effect."""
        if self._server is not None:
            return
        self._server = make_server(
            self.host, self.port, self.app, threaded=True, request_handler=_Quiet
        )
        self.port = self._server.server_port
        # It checks every 10 ms whether it must stop.
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), name="live server", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop, after the requests that are being answered."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server = self._thread = None

    def url(self, path: str = "") -> str:
        """Return the URL of a path."""
        return f"http://{self.host}:{self.port}{path}"

    def __repr__(self) -> str:
        state = "listening" if self._server is not None else "stopped"
        return f"<LiveServer {self.url()}, {state}>"


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        """Write nothing: an access log does not belong in the output of a test."""
