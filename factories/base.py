"""The extensions in which this application's factories and scenarios live."""

from __future__ import annotations

from typing import Generic, TypeVar

from flask_testbed import factories as engine
from flask_testbed.seeds import Scenarios

__all__ = ["BaseFactory", "factories", "scenarios"]

M = TypeVar("M")

factories = engine.Factories()
scenarios = Scenarios()


class BaseFactory(engine.BaseFactory[M], Generic[M]):
    """A factory of one of this application's models: ``class UserFactory(BaseFactory[User])``."""

    class Meta:
        abstract = True
        registry = factories
