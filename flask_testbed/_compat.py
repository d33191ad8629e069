"""What the engine uses of other libraries although it is private or not documented.

There is a section for each library. Each entry names the version that it was seen in, and
``tests/test_compat.py`` tests that it is there.
"""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T")

# Werkzeug


def unproxied(proxy: T) -> T:
    """Return the object that a proxy such as ``current_app`` stands for.

    ``LocalProxy._get_current_object`` is documented, but type checkers do not see it. Werkzeug 3.1.
    """
    found: T = proxy._get_current_object()  # type: ignore[attr-defined]
    return found


# pytest
#
# It is not imported here: the extension works without it.


def pytest_option(config: Any, name: str) -> Any:
    """Return the value of a command-line option, also before pytest has read them all; else None.

    `Config.known_args_namespace` is not documented. pytest 9.2.
    """
    early = getattr(config.known_args_namespace, name, None)
    return getattr(config.option, name, early)


def pytest_session(config: Any) -> Any:
    """Return the `pytest.Session`, or None before it begins.

    That it is registered as the plugin ``session`` is not documented. pytest 9.2.
    """
    return config.pluginmanager.get_plugin("session")


def definition_in_use(request: Any, name: str) -> Any:
    """Return the definition of the fixture that a request gets by a name. pytest 9.2."""
    return request._get_active_fixturedef(name)


def parameter_index(request: Any) -> int:
    """Return the number of a fixture's parameter, 0 for a fixture without. pytest 9.2."""
    index: int = getattr(request, "param_index", 0)
    return index


def fixture_value(definition: Any) -> Any:
    """Return what a fixture has returned or yielded, or None if it has not been set up.

    `FixtureDef.cached_result` is not documented. pytest 9.2.
    """
    return definition.cached_result[0] if definition.cached_result is not None else None


def set_fixture_error(definition: Any, request: Any, error: BaseException) -> None:
    """Raise an error for everything that asks for a fixture from now on.

    `FixtureDef.cached_result` and `FixtureDef.cache_key` are not documented. pytest 9.2.
    """
    key = definition.cache_key(request)
    definition.cached_result = (None, key, (error, error.__traceback__))
