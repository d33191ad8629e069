"""Where scenarios are played: a sandbox in each of its modes, beside a bare database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cached_property
from typing import Any, get_args

import pytest
from sqlalchemy.engine import URL

from flask_testbed import IsolationError, TestbedWarning
from flask_testbed.isolation.mode import Isolation, Mode
from flask_testbed.sandbox.sandbox import Sandbox

from .bare import Bare
from .environment import Environment
from .order import Observer, remembered, works
from .scenario import Differs, Refused, Scenario

MODES: tuple[Mode, ...] = get_args(Mode)


class Stage:
    """A sandbox, beside a bare database.

    :param bare: what the scenarios must find no different.
    :param sandbox: where it is to be the same.
    :param own_url: the database that the sandbox's application was configured with.
    :param powerful: whether its role is a superuser. Rights matter only where rows are put back,
        so with fewer the scenarios are played in commit mode alone.
    """

    def __init__(self, bare: Bare, sandbox: Sandbox, own_url: URL, *, powerful: bool) -> None:
        self.bare = bare
        self.sandbox = sandbox
        self._powerful = powerful
        self._own_url = own_url
        self._observer = Observer(sandbox.url)

    @cached_property
    def _made(self) -> dict[str, Any]:
        """What the sandbox held when it was made."""
        return self._observer.contents()

    def close(self) -> None:
        """Give everything back."""
        self._observer.close()
        self.bare.close()
        self.sandbox.close()

    def perform(self, scenario: Scenario, *variant: Any) -> None:
        """Play a scenario on both, and compare what it saw. Nothing is to be left of it."""
        if self._powerful:
            with self.bare.environment() as environment:
                assert scenario.play(environment, *variant) == scenario.sees
        for mode in MODES if self._powerful else MODES[:1]:
            self._perform(mode, scenario, *variant)

    def _perform(self, mode: Mode, scenario: Scenario, *variant: Any) -> None:
        __tracebackhide__ = True
        different = scenario.rollback if mode == "rollback" else None
        sees = different.sees if isinstance(different, Differs) else scenario.sees
        with self.clean():
            if different is Refused:
                with pytest.raises(IsolationError, match="commit"):
                    self._see(mode, scenario, *variant)
            else:
                assert self._see(mode, scenario, *variant) == sees, f"in {mode} mode"
            self.check(mode)

    def _see(self, mode: Mode, scenario: Scenario, *variant: Any) -> Any:
        # In rollback mode nothing that was left open can be in anybody's way.
        warns = scenario.warns if mode == "commit" else None
        warning = pytest.warns(TestbedWarning, match=warns) if warns else None
        with self.environment(mode, warning) as environment:
            return scenario.play(environment, *variant)

    @contextmanager
    def clean(self) -> Iterator[None]:
        """Have the next test fail of nothing that this one has found."""
        assert self._made  # before the test can change it
        try:
            yield
        except BaseException:
            # Only a new clone brings a changed schema back, and with it all else.
            self._observer.spoil()
            self.sandbox.begin(Isolation("commit"))
            self.sandbox.used = True
            self.sandbox.reset()
            raise

    @contextmanager
    def environment(self, mode: Mode, ending: Any = None) -> Iterator[Environment]:
        """The sandbox's application, for what is one test, which is put back.

        :param ending: what surrounds the end of the test.
        """
        sandbox = self.sandbox
        sandbox.begin(Isolation(mode))
        environment = Environment(
            sandbox.app_database.app,
            self._own_url,
            sandbox.url,
            self.bare.make_app,
            requests_apart=False,
            sandbox=sandbox,
        )
        with ExitStack() as last:
            last.callback(environment.close_forgotten)
            with nullcontext() if ending is None else ending, ExitStack() as test:
                test.callback(sandbox.reset)
                test.callback(environment.close)
                yield environment

    def check(self, mode: Mode) -> None:
        """Nothing is left of what was done, and the next test can begin."""
        found, made = self._observer.contents(), dict(self._made)
        if mode == "rollback" and not self.sandbox.isolation.reset_sequences:
            del found["sequences"], made["sequences"]
        assert found == made, f"after {mode} mode"
        assert self._observer.left_over() == {}, f"after {mode} mode"
        engine = self.sandbox.app_database.route.engine
        assert remembered(engine) == {}, f"after {mode} mode"
        assert works(engine), f"after {mode} mode"
        # What rollback mode leaves of sequences, the next scenario is not to see.
        self.sandbox.begin(Isolation(mode, reset_sequences=True))
        self.sandbox.reset()
