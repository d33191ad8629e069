"""The session that a factory writes to, and the transaction of a call.

The session is looked up at each call, through the current application. It is never kept: neither
on a class nor on its ``_meta``, where it would outlive the test.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

from flask import current_app, has_app_context
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Session, scoped_session

from ..errors import FactoryError

EXTENSION = "flask_testbed_factories"


class State(Protocol):
    """What ``Factories.init_app`` stores on the application, as far as sessions are concerned."""

    @property
    def db(self) -> SQLAlchemy:
        """The application's database."""


@dataclass
class Call:
    """One call of a factory, with all the rows that it makes."""

    session: Session

    given: Mapping[str, Any] = field(default_factory=dict)
    """The values that the caller gave for the present row, as opposed to generated ones."""


_current_call: ContextVar[Call | None] = ContextVar("flask_testbed_call", default=None)


@contextlib.contextmanager
def writing_to(session: Session) -> Iterator[None]:
    """Let factories write to ``session``, in the caller's transaction, inside the ``with`` block.

    They flush, whatever their ``sqlalchemy_session_persistence``, and never commit.
    """
    token = _current_call.set(Call(session))
    try:
        yield
    finally:
        _current_call.reset(token)


def _current_session(factory: Any) -> Session:
    if not has_app_context():
        raise FactoryError(
            f"{factory.__name__} writes to the database of the current application, and there is"
            " no application context. Use it inside `with app.app_context():`, in a test that has"
            f" the `app` fixture, or in `flask shell`; `{factory.__name__}.build()` needs none."
        )
    state: State | None = current_app.extensions.get(EXTENSION)
    if state is None:
        raise FactoryError(
            f"{factory.__name__} cannot write: the application {current_app.name!r} has no"
            " factories. Either `factories.init_app(app, db)` was not called, or the current"
            " application is not the one that it was called for."
        )
    return state.db.session()


@contextlib.contextmanager
def _committed(session: Session) -> Iterator[None]:
    try:
        yield
        session.commit()
    except BaseException:
        session.rollback()
        raise


def _transaction(
    session: Session, persistence: str | None
) -> contextlib.AbstractContextManager[object]:
    """Return the context of a whole call: either all of its rows are kept, or none."""
    if persistence == "commit":
        return _committed(session)
    if persistence == "flush":
        # The transaction belongs to the caller; the savepoint undoes this call alone.
        return session.begin_nested()
    return contextlib.nullcontext()


@contextlib.contextmanager
def calling(
    factory: Any, session: Session | scoped_session[Session] | None = None
) -> Iterator[Call]:
    """Give the call that is under way, or begin a new one with a transaction of its own.

    :param session: the session that the caller asks for, if any.
    """
    if isinstance(session, scoped_session):
        session = session()
    current = _current_call.get()
    if current is not None and session in (None, current.session):
        yield current
        return
    call = Call(session or _current_session(factory))
    token = _current_call.set(call)
    try:
        with _transaction(call.session, factory._meta.sqlalchemy_session_persistence):
            yield call
    finally:
        _current_call.reset(token)
