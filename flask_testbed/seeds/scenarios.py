"""The scenarios of an application: a registry, in which they are found by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from flask import Flask

from ..errors import SeedError
from .seed import Seed

EXTENSION = "flask_testbed_scenarios"


@dataclass(frozen=True)
class Scenario:
    """A data set, and the function that writes it."""

    name: str
    function: Callable[[Seed], None]
    fills: tuple[type, ...] = ()
    """The models whose tables must be empty before, and are counted afterwards; none means all."""

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]


class Scenarios:
    """The scenarios of an application: a registry, and a Flask extension for ``flask seed``."""

    def __init__(self) -> None:
        self._by_name: dict[str, Scenario] = {}

    def init_app(self, app: Flask) -> None:
        """Make the scenarios commands of ``flask seed``. It opens no connection."""
        app.extensions[EXTENSION] = self

    def add(
        self, name: str, *, fills: Iterable[type] = ()
    ) -> Callable[[Callable[[Seed], None]], Callable[[Seed], None]]:
        """Return a decorator of a function that gets a `Seed`: the scenario called ``name``.

        :param fills: the models that it writes, if not all. Other tables may then hold rows.
        :raises SeedError: the name is taken.
        """
        if name in self._by_name or name == "list":
            raise SeedError(f"A scenario cannot be called {name!r}: that name is taken.")

        def register(function: Callable[[Seed], None]) -> Callable[[Seed], None]:
            self._by_name[name] = Scenario(name, function, tuple(fills))
            return function

        return register

    def __getitem__(self, name: str) -> Scenario:
        """Return the scenario called ``name``.

        :raises SeedError: there is no scenario of this name.
        """
        try:
            return self._by_name[name]
        except KeyError:
            known = ", ".join(sorted(self._by_name)) or "none at all"
            raise SeedError(f"No scenario is called {name!r}. There are: {known}.") from None

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Scenario]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)
