"""Instances of models that outlive the session in which they were loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any
from weakref import ref

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import InstanceState, Session, make_transient, make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value

#: How deep a value is searched for instances: a dictionary of lists of named tuples.
DEPTH = 3


class Instances:
    """Instances that are moved from session to session, as long as they are referred to elsewhere.

    At first these are the instances in the current session, and those in a value that are in no
    session.

    :param db: the Flask-SQLAlchemy of the current session; None without an application context.
    :param value: what a fixture has returned.
    """

    def __init__(self, db: SQLAlchemy | None = None, value: object = None) -> None:
        self.db = db
        self._last_session: ref[Session] | None = None
        self._instances: list[tuple[ref[Any], Any]] = [
            (ref(one), _state(one).key) for one in _found(db, value)
        ]

    def __len__(self) -> int:
        return len(self._instances)

    def add_to(self, session: Session) -> None:
        """Move the instances into a session and expire them.

        The next access to an attribute reads it from the database, so nothing remains of what was
        done to an instance in another session. No query is sent. A second call with the same
        session has no effect.
        """
        last = self._last_session() if self._last_session is not None else None
        if last is session:
            return
        self._last_session = ref(session)
        for reference, key in self._instances:
            instance = reference()
            if instance is not None and key not in session.identity_map:
                _move(instance, key, last, session)


def _found(db: SQLAlchemy | None, value: object) -> list[Any]:
    """The persistent instances in the current session, and those in a value without a session."""
    session = db.session() if db is not None and db.session.registry.has() else None
    found = {id(one): one for one in session.identity_map.values()} if session is not None else {}
    for instance in _instances_in(value, DEPTH):
        if _state(instance).session in (None, session):
            found[id(instance)] = instance
    return [
        one for one in found.values() if _state(one).key is not None and not _state(one).was_deleted
    ]


def _move(instance: object, key: Any, last: Session | None, session: Session) -> None:
    state = _state(instance)
    if state.session is not None:
        if state.session is not last:
            return  # the test has added it to a session of its own
        last.expunge(instance)
    # Related instances would be added to the session too, and may be those of another test.
    for relation in state.mapper.relationships:
        state.dict.pop(relation.key, None)
    if state.key != key or state.was_deleted:
        _restore(instance, key)
    session.add(instance)
    session.expire(instance)


def _restore(instance: object, key: Any) -> None:
    """Make an instance that was deleted, or has another key now, the instance that it was."""
    make_transient(instance)
    mapper = _state(instance).mapper
    for column, part in zip(mapper.primary_key, key[1], strict=True):
        set_committed_value(instance, mapper.get_property_by_column(column).key, part)
    make_transient_to_detached(instance)


def _state(instance: object) -> InstanceState[Any]:
    state: InstanceState[Any] = sa.inspect(instance, raiseerr=True)
    return state


def _instances_in(value: Any, depth: int) -> Iterator[Any]:
    """The instances of models in a value: itself, or in a collection, mapping or dataclass."""
    if isinstance(sa.inspect(value, raiseerr=False), InstanceState):
        yield value
    elif depth:
        for part in _parts(value):
            yield from _instances_in(part, depth - 1)


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
    elif is_dataclass(value) and not isinstance(value, type):
        yield from (getattr(value, field.name, None) for field in fields(value))
