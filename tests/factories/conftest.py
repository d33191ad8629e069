"""What the tests of factories share: the toy application."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.support.factory_toys import factory_app


@pytest.fixture(scope="module")
def toy_app() -> Flask:
    return factory_app()
