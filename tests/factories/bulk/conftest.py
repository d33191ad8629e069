"""What the tests of bulk creation share: the toy application."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.support.bulk_toys import bulk_app


@pytest.fixture(scope="module")
def toy_app() -> Flask:
    return bulk_app()
