"""The pytest plugin: needs an ``app`` fixture, as pytest-flask does, and nothing else.

Each application's engines are redirected to a test database before anything connects. The
database is created when a test first connects, reset after each test that used it, and dropped at
the end. A test that never connects pays nothing.

The only package that knows pytest. Begin with :mod:`.hooks`.
"""

from __future__ import annotations

from .hooks import pytest_load_initial_conftests
from .options import pytest_addoption

__all__ = ["pytest_addoption", "pytest_load_initial_conftests"]
