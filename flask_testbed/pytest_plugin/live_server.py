"""A live server in a thread, on the test's own database, for browsers and HTTP clients."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer


class LiveServer:
    """An application that answers over HTTP, on the loopback interface.

    It has the attributes of pytest-flask's, which forks: there, the application sees another
    connection than the test, and no isolation.

    :param app: the application.
    :param host: where to listen.
    :param port: 0 for a free one.
    """

    def __init__(self, app: Flask, host: str = "127.0.0.1", port: int = 0) -> None:
        self.app = app
        self.host = host
        self.port = port
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Answer requests, each in a thread, from the moment that this returns."""
        if self._server is not None:
            return
        self._server = make_server(
            self.host, self.port, self.app, threaded=True, request_handler=_Quiet
        )
        self.port = self._server.server_port
        # It looks every 10 ms whether it is to stop.
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), name="live server", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop answering, after the requests that are being answered."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server = self._thread = None

    def url(self, path: str = "") -> str:
        """The URL of a path."""
        return f"http://{self.host}:{self.port}{path}"

    def __repr__(self) -> str:
        return f"<LiveServer listening at {self.url()}>"


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        """Say nothing: a test's output is not an access log."""
