"""The extension in which this application's factories live, and the base of them all."""

from __future__ import annotations

from typing import Generic, TypeVar

from flask_testbed import factories as engine

__all__ = ["BaseFactory", "factories"]

M = TypeVar("M")

factories = engine.Factories()


class BaseFactory(engine.BaseFactory[M], Generic[M]):
    """A factory of one of this application's models: ``class UserFactory(BaseFactory[User])``."""

    class Meta:
        abstract = True
        registry = factories
