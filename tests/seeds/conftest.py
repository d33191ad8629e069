"""What the tests of seeds share: the toy application."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.support.seed_toys import seed_app


@pytest.fixture(scope="module")
def toy_app() -> Flask:
    return seed_app()
