"""The pytest plugin. Like pytest-flask, it needs an ``app`` fixture, and nothing else.

The engines of each application are redirected to a test database before anything connects. The
database is created when a test first connects, reset after each test that used it, and dropped at
the end. A test that never connects costs no round trip.

This is the only package that knows pytest, and it may import every other one. Begin with
:mod:`.hooks`: each hook calls the objects that do the work.
"""

from __future__ import annotations

from .hooks import pytest_load_initial_conftests
from .options import pytest_addoption

__all__ = ["pytest_addoption", "pytest_load_initial_conftests"]
