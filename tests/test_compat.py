"""The private names of other libraries are there, and mean what the engine takes them for."""

from __future__ import annotations

import pytest
from flask import Flask, current_app

from flask_testbed import _compat

# Werkzeug


def test_the_object_behind_a_proxy() -> None:
    app = Flask("toy")
    with app.app_context():
        assert _compat.unproxied(current_app) is app


# pytest


@pytest.fixture(scope="module", params=["one", "other"])
def parametrized(request: pytest.FixtureRequest) -> tuple[str, int]:
    return request.param, _compat.parameter_index(request)


@pytest.fixture
def asking(parametrized: tuple[str, int], request: pytest.FixtureRequest) -> pytest.FixtureRequest:
    return request


def test_the_index_of_a_parameter(parametrized: tuple[str, int]) -> None:
    assert parametrized == {"one": ("one", 0), "other": ("other", 1)}[parametrized[0]]


def test_a_fixture_without_a_parameter_has_the_index_0(request: pytest.FixtureRequest) -> None:
    assert _compat.parameter_index(request) == 0


def test_the_definition_and_the_value_of_a_fixture(
    asking: pytest.FixtureRequest, parametrized: tuple[str, int]
) -> None:
    definition = _compat.definition_in_use(asking, "parametrized")
    assert isinstance(definition, pytest.FixtureDef)
    assert _compat.fixture_value(definition) is parametrized


@pytest.fixture(scope="module")
def broken_later(request: pytest.FixtureRequest) -> pytest.FixtureRequest:
    return request


def test_the_error_of_a_fixture_is_raised_for_later_requests(
    request: pytest.FixtureRequest, broken_later: pytest.FixtureRequest
) -> None:
    definition = _compat.definition_in_use(request, "broken_later")
    value = _compat.fixture_value(definition)
    _compat.set_fixture_error(definition, broken_later, LookupError("half-way"))
    try:
        with pytest.raises(LookupError, match="half-way"):
            definition.execute(broken_later)
    finally:
        definition.cached_result = (value, definition.cache_key(broken_later), None)


def test_the_session(request: pytest.FixtureRequest) -> None:
    assert _compat.pytest_session(request.config) is request.session


def test_an_option_that_pytest_has_read_or_is_about_to_read(pytestconfig: pytest.Config) -> None:
    assert _compat.pytest_option(pytestconfig, "keep_db") is pytestconfig.getoption("keep_db")
    assert hasattr(pytestconfig.known_args_namespace, "keep_db")
    assert _compat.pytest_option(pytestconfig, "there_is_no_such_option") is None
