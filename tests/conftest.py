"""The one fixture that the testbed needs; the rest comes with its plugin and tests/support."""

from __future__ import annotations

import pytest
from flask import Flask

from manage import create_app

pytest.register_assert_rewrite("tests.support", "tests.faults")

pytest_plugins = ["tests.support.fixtures"]


@pytest.fixture(scope="session")
def app() -> Flask:
    """The application, as ``flask`` would make it."""
    return create_app({"TESTING": True})
