"""Fixtures of class, module, package and session scope: what they write outlives a test.

What such a fixture has written becomes a layer, and the instances that it has loaded are handed
to each test anew. Around its set-up and its teardown there is an application context, if it asks
for the application, and its random values are a function of the fixture alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, current_app, has_app_context
from flask.ctx import AppContext
from flask.globals import app_ctx, request_ctx
from flask_sqlalchemy import SQLAlchemy

from ..sandbox.sandbox import Sandbox
from .instances import Held

if TYPE_CHECKING:
    from _pytest.fixtures import SubRequest

Definition = pytest.FixtureDef[Any]

#: Instances of one fixture that every test gets, whether it names the fixture or not. More of them
#: would cost tests that know nothing of them.
FEW = 100


@dataclass(eq=False)
class Fixture:
    """A fixture of a scope above a test's, from its set-up to its teardown."""

    definition: Definition
    id: str
    """The same in every run, and another for each parameter."""

    app: Flask | None
    """The application that it asks for, itself or through others."""

    held: Held = field(default_factory=Held)
    """The instances that it has left."""

    context: AppContext | None = None
    """The one of its set-up, if it has left others on top of that."""

    teardown: ExitStack = field(default_factory=ExitStack)
    """What is around its teardown."""

    def __str__(self) -> str:
        return f"The fixture {self.definition.argname!r} ({self.definition.scope} scope)"


class Scopes:
    """The fixtures of higher scopes in one process.

    :param sandboxes: gives the databases that there are now.
    :param committing: inside, what is done is committed, whatever the test's mode.
    :param end_session: closes the session of the current application context.
    """

    def __init__(
        self,
        sandboxes: Callable[[], Collection[Sandbox]],
        committing: Callable[[], AbstractContextManager[None]],
        end_session: Callable[[], None],
    ) -> None:
        self._sandboxes = sandboxes
        self._committing = committing
        self._end_session = end_session
        self._living: dict[Definition, Fixture] = {}
        self._holding: list[Fixture] = []
        self._at_work: list[pytest.Item | Fixture] = []
        self._handing_over = _Afterwards(self.hand_over)
        self._asked: Collection[str] = ()
        self.seed = 0

    # A test

    def begin(self, test: pytest.Item) -> None:
        """What is written from now on is the test's, unless a fixture of a higher scope does it."""
        self._at_work = [test]
        self._asked = getattr(test, "fixturenames", ())

    def end(self, test: pytest.Item) -> None:
        """Undo what the test has written before it set up fixtures of higher scopes."""
        self._forget(test)

    def hand_over(self) -> None:
        """Put the instances of living fixtures into the current session."""
        if self._holding and (db := _current_db()) is not None:
            for fixture in self._holding:
                wanted = len(fixture.held) <= FEW or fixture.definition.argname in self._asked
                if wanted and fixture.held.db in (db, None):
                    fixture.held.hand_to(db.session())

    # A fixture

    def setting_up(
        self, definition: Definition, request: SubRequest
    ) -> AbstractContextManager[object]:
        """Around the set-up of a fixture, of any scope."""
        if definition.scope != "function":
            return self._setting_up(definition, request)
        # It may have pushed a context, which brings another session.
        return self._handing_over

    @contextmanager
    def _setting_up(self, definition: Definition, request: SubRequest) -> Iterator[None]:
        fixture = Fixture(definition, _id(definition, request), self._app_of(definition, request))
        # Finalizers run last in, first out: this one after the fixture's own teardown.
        definition.addfinalizer(lambda: self._torn_down(fixture))
        with self._committing():
            self._keep()
            self._at_work.append(fixture)
            try:
                with _own_values(fixture, self.seed), self._own_context(fixture):
                    yield
                    self._hold(fixture)
                self._keep()
            except BaseException as error:
                # Whoever asks for the fixture next is told the same.
                key = definition.cache_key(request)
                definition.cached_result = (None, key, (error, error.__traceback__))
                self._undo(fixture)
                raise
            finally:
                self._at_work.remove(fixture)
                self.hand_over()
        definition.addfinalizer(lambda: self._tear_down(fixture))

    def _tear_down(self, fixture: Fixture) -> None:
        """Before a fixture's own teardown: have its rows as it has left them."""
        context = fixture.app.app_context() if fixture.app and not fixture.context else None
        fixture.teardown.enter_context(self._committing())
        try:
            if any(sandbox.has_layer(fixture) for sandbox in self._sandboxes()):
                self._put_back()
        finally:
            fixture.teardown.enter_context(context or nullcontext())
            self.hand_over()

    def _torn_down(self, fixture: Fixture) -> None:
        """After it: take its rows away."""
        with ExitStack() as last:
            last.callback(self._forget, fixture)
            last.callback(fixture.teardown.close)
            if fixture.context is not None and _top(app_ctx) is fixture.context:
                last.callback(fixture.context.pop)
            if fixture in self._holding:
                self._holding.remove(fixture)
            self._living.pop(fixture.definition, None)
            _forget_numbers(fixture)

    # What is around it

    def _app_of(self, definition: Definition, request: SubRequest) -> Flask | None:
        """The application that a fixture asks for, itself or through others."""
        # Not by name alone: each folder may have an `app` of its own.
        asked = (request._get_active_fixturedef(name) for name in definition.argnames)
        living = (self._living.get(one) for one in asked)
        return next((one.app for one in living if one is not None and one.app is not None), None)

    @contextmanager
    def _own_context(self, fixture: Fixture) -> Iterator[None]:
        """Have a context in the set-up, which goes with it unless others were put on top."""
        if fixture.app is None:
            yield
            return
        context, request = fixture.app.app_context(), _top(request_ctx)
        context.push()
        self.hand_over()
        try:
            yield
        finally:
            if _top(app_ctx) is context and _top(request_ctx) is request:
                context.pop()
            else:
                fixture.context = context

    def _hold(self, fixture: Fixture) -> None:
        """Remember what a fixture has made, and let no session of its stay open."""
        definition = fixture.definition
        value = definition.cached_result[0] if definition.cached_result is not None else None
        if isinstance(value, Flask):
            fixture.app = value
        self._living[definition] = fixture
        fixture.held.take(_current_db() if fixture.app is not None else None, value)
        if fixture.held:
            self._holding.append(fixture)
        if fixture.app is not None:
            self._end_session()

    # Rows

    def _keep(self) -> None:
        """Make what was written by whoever is at work a layer of its."""
        for sandbox in self._sandboxes():
            sandbox.keep_layer(self._at_work[-1], _name(self._at_work[-1]))

    def _forget(self, owner: pytest.Item | Fixture) -> None:
        with ExitStack() as last:
            # What cannot be done in one database must not spare the others.
            for sandbox in self._sandboxes():
                last.callback(sandbox.drop_layers, owner)

    def _put_back(self) -> None:
        self._end_session()
        with ExitStack() as last:
            for sandbox in self._sandboxes():
                last.callback(sandbox.reset)

    def _undo(self, fixture: Fixture) -> None:
        """Take away what a fixture has written that has failed."""
        with ExitStack() as last:
            last.callback(self._forget, fixture)
            last.callback(self._put_back)


class _Afterwards:
    """A context at whose end something is done, unless there is an error. Used again and again."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._function()


def _id(definition: Definition, request: SubRequest) -> str:
    function = getattr(definition.func, "__qualname__", definition.argname)
    module = getattr(definition.func, "__module__", "")
    return f"{request.node.nodeid}:{module}.{function}[{getattr(request, 'param_index', 0)}]"


def _name(owner: pytest.Item | Fixture) -> str:
    return str(owner) if isinstance(owner, Fixture) else f"The test {owner.name!r}"


def _top(proxy: Any) -> Any:
    """The context that is on top of its kind."""
    return proxy._get_current_object() if proxy else None


def _current_db() -> SQLAlchemy | None:
    db: SQLAlchemy | None = current_app.extensions.get("sqlalchemy") if has_app_context() else None
    return db


@contextmanager
def _own_values(fixture: Fixture, seed: int) -> Iterator[None]:
    """Make random values a function of the fixture. Where nobody draws any, it costs nothing."""
    randomness = sys.modules.get("flask_testbed.randomness")
    if randomness is None or "factory" not in sys.modules:
        yield
        return
    with randomness.drawing_from(f"{seed}:{fixture.id}"), randomness.stream.reserving(fixture):
        yield


def _forget_numbers(fixture: Fixture) -> None:
    randomness = sys.modules.get("flask_testbed.randomness")
    if randomness is not None:
        randomness.stream.reserved.pop(fixture, None)
