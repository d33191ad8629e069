"""Real PostgreSQL for every test of a Flask application.

PYTEST_DONT_REWRITE: the command ``test`` starts pytest after this package was imported.
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

# Names are imported at first use. Every run of pytest loads this package, and not every run uses
# factories; to import factory_boy and Faker takes as long as a dozen tests.
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
