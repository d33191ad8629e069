"""What the tests of ``factories lint`` share: the toy application."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.support.lint_toys import lint_app


@pytest.fixture(scope="module")
def toy_app() -> Flask:
    return lint_app()
