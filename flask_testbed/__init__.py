"""Real PostgreSQL for every test of a Flask application.

PYTEST_DONT_REWRITE: ``manage.py test`` starts pytest where this is imported already.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .databases.development import development_url
    from .errors import (
        BulkError,
        DatabaseError,
        FactoryError,
        IsolationError,
        NotEmptyError,
        RefusedError,
        SeedError,
        ServerError,
        SettingsError,
        TestbedError,
        TestbedWarning,
    )
    from .extension import Testbed
    from .factories import Factories
    from .seeds import Scenarios, Seed

# Looked up at first use: the pytest plugin is loaded in every run, also where no factory is used,
# and factory_boy with Faker takes as long to import as a dozen tests.
_HOMES = {
    "BulkError": "errors",
    "DatabaseError": "errors",
    "Factories": "factories",
    "FactoryError": "errors",
    "IsolationError": "errors",
    "NotEmptyError": "errors",
    "RefusedError": "errors",
    "Scenarios": "seeds",
    "Seed": "seeds",
    "SeedError": "errors",
    "ServerError": "errors",
    "SettingsError": "errors",
    "Testbed": "extension",
    "TestbedError": "errors",
    "TestbedWarning": "errors",
    "development_url": "databases.development",
}

__all__ = [
    "BulkError",
    "DatabaseError",
    "Factories",
    "FactoryError",
    "IsolationError",
    "NotEmptyError",
    "RefusedError",
    "Scenarios",
    "Seed",
    "SeedError",
    "ServerError",
    "SettingsError",
    "Testbed",
    "TestbedError",
    "TestbedWarning",
    "development_url",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
