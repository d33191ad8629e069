"""Shared fixtures: those of class, module, package and session scope, which outlive a test.

What a shared fixture writes becomes a layer, which every reset restores until the fixture is torn
down. The instances that it has loaded are added to the session of each test. If it asks for the
application, an application context is pushed around its set-up and around its teardown. Its random
values are a function of the fixture alone.

One fixture, in the order of its life: :meth:`SharedFixtures.setting_up`, and then, as finalizers,
``_before_teardown`` and ``_after_teardown``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask
from flask.ctx import AppContext
from flask.globals import app_ctx, request_ctx
from sqlalchemy.orm import Session

from .._compat import (
    definition_in_use,
    fixture_value,
    parameter_index,
    set_fixture_error,
    unproxied,
)
from .applications import Applications
from .contexts import current_db, current_session
from .forbidden import ForbiddenDatabase
from .instances import Attributes, Instances
from .seeding import Seed

Definition = pytest.FixtureDef[Any]

#: A fixture with at most so many instances adds them to the session of every test; one with more,
#: to that of a test that asks for it. Each instance costs a test a few microseconds.
FEW = 100


@dataclass(eq=False)
class SharedFixture:
    """A shared fixture, from its set-up to its teardown."""

    definition: Definition
    id: str
    """The same in every run, and another one for each parameter."""

    app: Flask | None
    """The application that it returns, or asks for itself or through other fixtures."""

    instances: Instances = field(default_factory=Instances)
    """The instances that it has loaded or returned."""

    context: AppContext | None = None
    """The context of its set-up, if it has pushed others on top and left them there."""

    around_teardown: ExitStack = field(default_factory=ExitStack)
    """What is open during its teardown."""

    def __str__(self) -> str:
        return f"The fixture {self.definition.argname!r} ({self.definition.scope} scope)"

    def __repr__(self) -> str:
        return f"<SharedFixture {self.id!r}, {len(self.instances)} instances>"

    @contextmanager
    def pushed_context(self) -> Iterator[None]:
        """Push an application context around the set-up.

        It is popped at the end, unless the fixture has left other contexts on top of it.
        """
        if self.app is None:
            yield
            return
        context, request = self.app.app_context(), _top(request_ctx)
        context.push()
        try:
            yield
        finally:
            if _top(app_ctx) is context and _top(request_ctx) is request:
                context.pop()
            else:
                self.context = context

    def pop_context(self) -> None:
        """Pop the context of the set-up, if that is still pushed and now on top."""
        if self.context is not None and _top(app_ctx) is self.context:
            self.context.pop()

    def find_instances(self, session: Session | None, attributes: Attributes) -> None:
        """Note the instances and the application that the set-up has left.

        :param session: the session of the set-up, if it had one.
        :param attributes: those of its class or module.
        """
        value = fixture_value(self.definition)
        if isinstance(value, Flask):
            self.app = value
        db = current_db() if session is not None else None
        self.instances = Instances(db, value, *attributes.assigned())


class SharedFixtures:
    """The shared fixtures of one process.

    :param applications: the adopted applications, whose databases the fixtures write to.
    :param seed: the seed of the run.
    :param forbidden: refuses connections in tests that must not connect.
    """

    def __init__(
        self, applications: Applications, seed: Seed, forbidden: ForbiddenDatabase
    ) -> None:
        self._applications = applications
        self._sandboxes = applications.sandboxes
        self._seed = seed
        self._forbidden = forbidden
        self._active: dict[Definition, SharedFixture] = {}
        """The fixtures that are set up, and not torn down yet."""
        self._with_instances: list[SharedFixture] = []
        """Those of them that have instances."""
        self._writers: list[pytest.Item | SharedFixture] = []
        """The test, and the fixtures that it is setting up; the last one is running."""
        self._has_ended = False
        """Whether the test has ended, and is undone before a shared fixture is torn down."""
        self._asked_for: Collection[str] = ()
        """The names of the fixtures that the test asks for."""
        self._around_other_fixtures = _AddingInstances(self)

    def __repr__(self) -> str:
        return f"<SharedFixtures {list(self._active.values())}>"

    # A test

    def begin(self, test: pytest.Item) -> None:
        """Attribute what is written from now on to a test, unless a shared fixture writes it."""
        self._writers, self._has_ended = [test], False
        self._asked_for = getattr(test, "fixturenames", ())

    def note_end(self) -> None:
        """Take note that the test has ended, and that only fixtures are torn down from now on."""
        self._has_ended = True

    def end(self, test: pytest.Item) -> None:
        """Drop the layers of what the test wrote before it asked for a shared fixture."""
        self._sandboxes.drop_layers(test)

    def add_instances(self) -> None:
        """Add the instances of the active fixtures to the current session."""
        if not self._with_instances or (db := current_db()) is None:
            return
        for fixture in self._with_instances:
            few = len(fixture.instances) <= FEW
            wanted = few or fixture.definition.argname in self._asked_for
            if wanted and fixture.instances.db in (db, None):
                fixture.instances.add_to(db.session())

    # The life of a fixture

    def setting_up(
        self, definition: Definition, request: pytest.FixtureRequest
    ) -> AbstractContextManager[None]:
        """Return what is around the set-up of a fixture of any scope."""
        if definition.scope == "function":
            return self._around_other_fixtures
        app = self._application_of(definition, request)
        return self._setting_up(SharedFixture(definition, _id(definition, request), app), request)

    @contextmanager
    def _setting_up(self, fixture: SharedFixture, request: pytest.FixtureRequest) -> Iterator[None]:
        definition, attributes = fixture.definition, Attributes(request)
        # pytest calls finalizers last in, first out: this one after the fixture's own teardown.
        definition.addfinalizer(lambda: self._after_teardown(fixture))
        with self._sandboxes.committing():
            self._keep_layer()
            self._writers.append(fixture)
            try:
                with self._seed.derived(fixture.id, fixture), fixture.pushed_context():
                    before = current_session()
                    self.add_instances()
                    yield
                    # A test that asks for a fixture late may have a session already.
                    session = current_session() if current_session() is not before else None
                    fixture.find_instances(session, attributes)
                    self._activate(fixture)
                    if session is not None:
                        self._applications.close_session()
                self._keep_layer()
            except BaseException as error:
                # pytest has noted that the set-up succeeded, if keeping its layer has failed.
                set_fixture_error(definition, request, error)
                self._undo(fixture)
                raise
            finally:
                self._writers.remove(fixture)
                self.add_instances()
        definition.addfinalizer(lambda: self._before_teardown(fixture))

    def _before_teardown(self, fixture: SharedFixture) -> None:
        """Undo the last test, and restore the fixture's rows as its set-up has left them."""
        fixture.around_teardown.enter_context(self._sandboxes.committing())
        try:
            if self._has_ended:
                # The test may be one that must not connect; this fixture may.
                self._forbidden.end()
            if self._has_ended or self._sandboxes.has_layer(fixture):
                self._reset()
        finally:
            if fixture.app is not None and fixture.context is None:
                fixture.around_teardown.enter_context(fixture.app.app_context())
            self.add_instances()

    def _after_teardown(self, fixture: SharedFixture) -> None:
        """Drop the fixture's rows, and forget it."""
        self._deactivate(fixture)
        self._seed.release(fixture)
        with ExitStack() as stack:
            stack.callback(self._sandboxes.drop_layers, fixture)
            stack.callback(fixture.around_teardown.close)
            stack.callback(fixture.pop_context)

    # Parts

    def _activate(self, fixture: SharedFixture) -> None:
        self._active[fixture.definition] = fixture
        if fixture.instances:
            self._with_instances.append(fixture)

    def _deactivate(self, fixture: SharedFixture) -> None:
        self._active.pop(fixture.definition, None)
        if fixture in self._with_instances:
            self._with_instances.remove(fixture)

    def _application_of(
        self, definition: Definition, request: pytest.FixtureRequest
    ) -> Flask | None:
        """The application that a fixture asks for, itself or through other shared fixtures."""
        # Names do not suffice: each folder may have an `app` of its own.
        asked_for = (definition_in_use(request, name) for name in definition.argnames)
        active = (self._active.get(one) for one in asked_for)
        return next((one.app for one in active if one is not None and one.app is not None), None)

    def _keep_layer(self) -> None:
        """Keep what the running test or fixture has written so far."""
        writer = self._writers[-1]
        name = str(writer) if isinstance(writer, SharedFixture) else f"The test {writer.name!r}"
        self._sandboxes.keep_layer(writer, name)

    def _reset(self) -> None:
        self._applications.close_session()
        self._sandboxes.reset()

    def _undo(self, fixture: SharedFixture) -> None:
        """Undo what a fixture has written whose set-up has failed."""
        with ExitStack() as stack:
            stack.callback(self._sandboxes.drop_layers, fixture)
            stack.callback(self._reset)


class _AddingInstances:
    """Adds the instances of shared fixtures after the set-up of a fixture of function scope.

    That fixture may have pushed a context, which has a session of its own. One object is used for
    all of them: a generator-based context manager would cost each fixture of each test more.
    """

    def __init__(self, shared: SharedFixtures) -> None:
        self._shared = shared

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._shared.add_instances()


def _id(definition: Definition, request: pytest.FixtureRequest) -> str:
    function = getattr(definition.func, "__qualname__", definition.argname)
    module = getattr(definition.func, "__module__", "")
    return f"{request.node.nodeid}:{module}.{function}[{parameter_index(request)}]"


def _top(proxy: Any) -> Any:
    """The context that is on top of its kind, or None."""
    return unproxied(proxy) if proxy else None
