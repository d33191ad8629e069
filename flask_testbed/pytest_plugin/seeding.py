"""The seed of the run: the random values of each test are a function of it and of the test."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

#: Key of the seed in what the controller of pytest-xdist sends to its workers.
KEY = "testbed_seed"


class Seed:
    """The seed of the run: of ``--testbed-seed``, of pytest-xdist's controller, or a random one."""

    def __init__(self, config: pytest.Config) -> None:
        given = config.getoption("testbed_seed")
        sent = getattr(config, "workerinput", {}).get(KEY)
        self.number: int = next(
            one for one in (given, sent, secrets.randbits(32)) if one is not None
        )

    def send(self, node: Any) -> None:
        """Give the seed to a worker of pytest-xdist."""
        node.workerinput[KEY] = self.number

    def begin(self, test: pytest.Item) -> None:
        """Derive the random values of a test from the seed and its node id."""
        if (randomness := _randomness()) is not None:
            randomness.reseed(f"{self.number}:{test.nodeid}")

    @contextmanager
    def derived(self, name: str, owner: object) -> Iterator[None]:
        """Derive random values inside from the seed and a name, and go on as before afterwards.

        The numbers that sequences return inside are reserved until :meth:`release`: they are in
        rows that outlive a test.

        :param owner: whose numbers these are.
        """
        randomness = _randomness()
        if randomness is None or "factory" not in sys.modules:
            yield
            return
        with randomness.drawing_from(f"{self.number}:{name}"), randomness.stream.reserving(owner):
            yield

    def release(self, owner: object) -> None:
        """Let sequences return an owner's numbers again."""
        if (randomness := _randomness()) is not None:
            randomness.stream.release(owner)

    @property
    def is_used(self) -> bool:
        """Whether anything in this process may draw random values from the engine."""
        return _randomness() is not None


def _randomness() -> ModuleType | None:
    """The module of random values, or None if nothing has imported it, so that nothing uses it."""
    return sys.modules.get("flask_testbed.randomness")
