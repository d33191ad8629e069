"""The factories of an application: a registry, in which they are found by name and by model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from factory import declarations
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from ..errors import FactoryError
from .base import BaseFactory
from .sessions import EXTENSION

M = TypeVar("M")


@dataclass(frozen=True)
class FactoriesState:
    """The factories of one application, stored in ``app.extensions``."""

    factories: Factories
    db: SQLAlchemy

    @classmethod
    def of(cls, app: Flask) -> FactoriesState:
        """Return the factories of an application.

        :raises FactoryError: it has none.
        """
        state: FactoriesState | None = app.extensions.get(EXTENSION)
        if state is None:
            raise FactoryError(
                f"The application {app.name!r} has no factories:"
                " call `factories.init_app(app, db)` for it."
            )
        return state


class Factories:
    """The factories of an application: a Flask extension and a registry.

    A base class names the registry, for itself and for all that inherit from it::

        factories = Factories()

        class BaseFactory(flask_testbed.factories.BaseFactory[M]):
            class Meta:
                abstract = True
                registry = factories

    Iteration yields every factory that is not abstract, in the order of definition.
    """

    def __init__(self) -> None:
        self._by_path: dict[str, type[BaseFactory[Any]]] = {}

    def __repr__(self) -> str:
        return f"<Factories: {', '.join(map(self.name_of, self)) or 'none'}>"

    def init_app(self, app: Flask, db: SQLAlchemy) -> None:
        """Let factories write to ``db.session`` while ``app`` is the current application.

        It opens no connection.

        :raises FactoryError: ``app`` has factories already.
        """
        if EXTENSION in app.extensions:
            raise FactoryError(
                f"The application {app.name!r} has its factories already: call"
                " `factories.init_app(app, db)` once for each application."
            )
        app.extensions[EXTENSION] = FactoriesState(self, db)

    def __iter__(self) -> Iterator[type[BaseFactory[Any]]]:
        return iter(self._by_path.values())

    def __len__(self) -> int:
        return len(self._by_path)

    def __getitem__(self, name: str) -> type[BaseFactory[Any]]:
        """Return the factory called ``name``: ``"UserFactory"``, or ``"workspace.AgentFactory"``.

        The part before the last dot names packages or modules in which the factory is defined. It
        is only needed to tell factories of the same name from each other.

        :raises FactoryError: no factory, or more than one, is called so.
        """
        *places, short = name.split(".")
        found = [
            factory
            for factory in self
            if factory.__name__ == short and set(places) <= set(factory.__module__.split("."))
        ]
        if len(found) == 1:
            return found[0]
        if found:
            choices = " or ".join(repr(self.name_of(factory)) for factory in found)
            raise FactoryError(f"{name!r} is the name of {len(found)} factories: say {choices}.")
        known = ", ".join(sorted(self.name_of(factory) for factory in self)) or "none at all"
        raise FactoryError(f"No factory is called {name!r}. There are: {known}.")

    def name_of(self, factory: type[BaseFactory[Any]]) -> str:
        """Return the shortest name that tells ``factory`` from all others of the registry."""
        places = factory.__module__.split(".")
        others = [
            set(other.__module__.split("."))
            for other in self
            if other.__name__ == factory.__name__ and other is not factory
        ]
        if not others:
            return factory.__name__
        for place in places:
            if all(place not in other for other in others):
                return f"{place}.{factory.__name__}"
        return f"{factory.__module__}.{factory.__name__}"

    def for_model(self, model: type[M]) -> tuple[type[BaseFactory[M]], ...]:
        """Return the factories of exactly this model, in the order of definition."""
        return tuple(factory for factory in self if factory._meta.model is model)

    def register(self, factory: type[BaseFactory[Any]]) -> None:
        """Add a factory. It replaces one of the same module and name, which was loaded before."""
        self._by_path[f"{factory.__module__}.{factory.__qualname__}"] = factory


def factories_of(app: Flask) -> list[type[BaseFactory[Any]]]:
    """Return the factories of an application; none if it has no registry."""
    known: FactoriesState | None = app.extensions.get(EXTENSION)
    return list(known.factories) if known is not None else []


def trait_names(factory: type[BaseFactory[Any]]) -> list[str]:
    """Return the names of the traits of ``factory``, with inherited ones, in their order."""
    return [
        name
        for name, parameter in factory._meta.parameters.items()
        if isinstance(parameter, declarations.Trait)
    ]
