"""Instances of models that outlive the session which has loaded them."""

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


class Held:
    """Instances that are handed from session to session, for as long as somebody else has them."""

    def __init__(self) -> None:
        self.db: SQLAlchemy | None = None
        self._instances: list[tuple[ref[Any], Any]] = []
        self._given_to: ref[Session] | None = None

    def __len__(self) -> int:
        return len(self._instances)

    def take(self, db: SQLAlchemy | None, value: object) -> None:
        """Hold what the current session knows, and what of a value has no session.

        :param db: whose session that is; ``None`` without a context.
        """
        self.db = db
        session = db.session() if db is not None and db.session.registry.has() else None
        known = list(session.identity_map.values()) if session is not None else []
        found = {id(instance): instance for instance in known}
        for instance in _instances(value, DEPTH):
            if _state(instance).session in (None, session):
                found[id(instance)] = instance
        self._instances = [
            (ref(instance), _state(instance).key)
            for instance in found.values()
            if _state(instance).key is not None and not _state(instance).was_deleted
        ]

    def hand_to(self, session: Session) -> None:
        """Put the instances into a session, as if nothing of them were loaded yet.

        Their attributes are read from the database at their next use: nothing that was done to
        them in another session is left. Sends no query. Once for each session.
        """
        before = self._given_to() if self._given_to is not None else None
        if before is session:
            return
        self._given_to = ref(session)
        for reference, key in self._instances:
            instance = reference()
            if instance is not None and key not in session.identity_map:
                _move(instance, key, before, session)


def _move(instance: object, key: Any, before: Session | None, session: Session) -> None:
    state = _state(instance)
    if state.session is not None:
        if state.session is not before:
            return  # somebody has put it elsewhere on purpose
        before.expunge(instance)
    # What hangs on it would come along, and may be of another test.
    for relation in state.mapper.relationships:
        state.dict.pop(relation.key, None)
    if state.key != key or state.was_deleted:
        _revive(instance, key)
    session.add(instance)
    session.expire(instance)


def _revive(instance: object, key: Any) -> None:
    """Make an instance that was deleted, or has another key now, what it was."""
    make_transient(instance)
    mapper = _state(instance).mapper
    for column, part in zip(mapper.primary_key, key[1], strict=True):
        set_committed_value(instance, mapper.get_property_by_column(column).key, part)
    make_transient_to_detached(instance)


def _state(instance: object) -> InstanceState[Any]:
    state: InstanceState[Any] = sa.inspect(instance, raiseerr=True)
    return state


def _instances(value: Any, depth: int) -> Iterator[Any]:
    """The instances of models in a value: itself, or in a collection, mapping or dataclass."""
    if isinstance(sa.inspect(value, raiseerr=False), InstanceState):
        yield value
    elif depth:
        for part in _parts(value):
            yield from _instances(part, depth - 1)


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
    elif is_dataclass(value) and not isinstance(value, type):
        yield from (getattr(value, field.name, None) for field in fields(value))
