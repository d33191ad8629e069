"""Real PostgreSQL for every test of a Flask application."""

from .development import development_url
from .errors import (
    DatabaseError,
    FactoryError,
    IsolationError,
    RefusedError,
    SeedError,
    ServerError,
    SettingsError,
    TestbedError,
)
from .extension import Testbed
from .factories import Factories
from .sandbox import TestbedWarning

__all__ = [
    "DatabaseError",
    "Factories",
    "FactoryError",
    "IsolationError",
    "RefusedError",
    "SeedError",
    "ServerError",
    "SettingsError",
    "Testbed",
    "TestbedError",
    "TestbedWarning",
    "development_url",
]
