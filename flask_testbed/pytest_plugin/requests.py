"""Requests as in production: each has an application context, and so a session, of its own.

A request sees the context variables of its test, such as a feature flag, and none of Flask's.

Flask 3.1 reuses an application context that is already pushed. pytest-flask pushes one for each
test. A request of the test's client would therefore commit what the test has only flushed.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Flask, has_app_context
from flask.ctx import AppContext, RequestContext
from flask.globals import app_ctx

from .._compat import unproxied
from .contexts import context_without_flask

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: Key in the WSGI environment with which Werkzeug's test client asks for the contexts of a request,
#: to push them again after it.
_PRESERVE = "werkzeug.debug.preserve_context"


class OwnContext:
    """A WSGI middleware that handles each request in a copy of the test's context without Flask's.

    :param app: the application that it wraps.
    """

    def __init__(self, app: Flask) -> None:
        self.wsgi_app: WSGIApplication = app.wsgi_app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        preserve = environ.get(_PRESERVE)
        if preserve is not None and has_app_context():
            environ[_PRESERVE] = partial(_preserve, preserve, unproxied(app_ctx))
        context = context_without_flask()
        return _Body(context, context.run(self.wsgi_app, environ, start_response))


def _preserve(
    preserve: Callable[[Any], None], test: AppContext, context: AppContext | RequestContext
) -> None:
    """Preserve a request and its ``g``, but not its application context.

    A session belongs to an application context. If the one of the request were pushed, the
    objects that the test has loaded would no longer be in the current session.
    """
    if context.app is not test.app:
        preserve(context)
    elif isinstance(context, AppContext):
        preserve(_seeing(test, context))
    else:
        # A copy, because a body that is still streamed has pushed the context elsewhere already.
        preserve(context.copy())


@contextmanager
def _seeing(test: AppContext, request: AppContext) -> Iterator[None]:
    """Give the test's context the ``g`` of its last request, as Flask's test client does."""
    own, test.g = test.g, request.g
    try:
        yield
    finally:
        test.g = own


class _Body:
    """The body of a response, which is produced in the context of its request."""

    def __init__(self, context: contextvars.Context, body: Iterable[bytes]) -> None:
        self._context = context
        self._body = body
        self._iterator = context.run(iter, body)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return self._context.run(next, self._iterator)

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            self._context.run(close)


def isolate_requests(app: Flask) -> None:
    """Give each request of an application its own context. Calling it again has no effect."""
    if not isinstance(app.wsgi_app, OwnContext):
        app.wsgi_app = OwnContext(app)  # type: ignore[method-assign]
