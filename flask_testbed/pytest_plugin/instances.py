"""Instances of models that outlive the session in which they were loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from itertools import chain
from typing import Any
from weakref import ref

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import (
    InstanceState,
    Mapper,
    Session,
    make_transient,
    make_transient_to_detached,
)
from sqlalchemy.orm.attributes import set_committed_value

#: How deep a value is searched for instances: a dictionary of lists of named tuples.
DEPTH = 3


class Instances:
    """Instances that are moved from session to session, as long as they are referred to elsewhere.

    At first these are the instances in the current session, and those in values that are in no
    session.

    :param db: the Flask-SQLAlchemy of the current session, or None to leave that session alone.
    :param values: what a fixture has returned, and stored in its class or module.
    """

    def __init__(self, db: SQLAlchemy | None = None, *values: object) -> None:
        self.db = db
        self._last_session: ref[Session] | None = None
        self._instances: list[tuple[ref[Any], Any]] = [
            (ref(one), _state(one).key) for one in _found(db, values)
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


class Attributes:
    """The attributes of the class of a fixture, and of its module.

    ``setUpClass()`` and ``setup_module()``, which pytest calls as fixtures, return nothing, and
    store there what their tests use.

    :param request: the request for the fixture.
    """

    def __init__(self, request: pytest.FixtureRequest) -> None:
        nodes = map(request.node.getparent, (pytest.Class, pytest.Module))
        self._owners = [node.obj for node in nodes if node is not None]
        self._before = [dict(vars(owner)) for owner in self._owners]

    def assigned(self) -> Iterator[object]:
        """Yield the values that have been assigned since."""
        for owner, before in zip(self._owners, self._before, strict=True):
            for name, value in vars(owner).items():
                if before.get(name, self) is not value:
                    yield value


def _found(db: SQLAlchemy | None, values: Iterable[object]) -> list[Any]:
    """The persistent instances in the current session, and those in values without a session."""
    session = db.session() if db is not None and db.session.registry.has() else None
    found = {id(one): one for one in session.identity_map.values()} if session is not None else {}
    for instance in chain.from_iterable(_instances_in(value, DEPTH) for value in values):
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
    kind: Any = type(value)
    if _is_mapped(kind):
        yield value
    elif depth:
        for part in _parts(value):
            yield from _instances_in(part, depth - 1)


@lru_cache(maxsize=256)
def _is_mapped(kind: type[Any]) -> bool:
    """Return whether a class is a model. To inspect an object may connect, if it is an engine."""
    return isinstance(sa.inspect(kind, raiseerr=False), Mapper)


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
    elif is_dataclass(value) and not isinstance(value, type):
        yield from (getattr(value, field.name, None) for field in fields(value))
