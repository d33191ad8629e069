"""The models that a user names."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.exc import NoInspectionAvailable

from ...errors import FactoryError

__all__ = ["find_models"]


def find_models(paths: Iterable[str]) -> list[type]:
    """The models that paths name, in the order of definition.

    :param paths: ``module:Class`` or ``module``, which means all models that it defines.
    :raises FactoryError: there is no such module, or no such model in it.
    """
    found: dict[type, None] = {}
    for path in paths:
        module_name, _, class_name = path.partition(":")
        module = _module(module_name, path)
        if class_name:
            model = getattr(module, class_name, None)
            if model is None or not _is_model(model):
                known = ", ".join(one.__name__ for one in _defined(module)) or "none at all"
                raise FactoryError(
                    f"{path!r} is no model. The models of {module_name} are: {known}."
                )
            found[model] = None
        else:
            models = _defined(module)
            if not models:
                raise FactoryError(
                    f"The module {module_name!r} defines no model. Name one that does, such as"
                    " app.models, or a model of it: app.models:User."
                )
            found.update(dict.fromkeys(models))
    return list(found)


def _module(module_name: str, path: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except (ImportError, ValueError) as error:
        raise FactoryError(
            f"{path!r} cannot be imported: {error}. Write it as app.models:User, as in an import"
            " statement, and run the command where your application's package is."
        ) from error


def _is_model(value: Any) -> bool:
    if not isinstance(value, type):
        return False
    try:
        inspect(value)
    except NoInspectionAvailable:
        return False
    return True


def _defined(module: Any) -> list[type]:
    """The models of a module, and of the modules of a package that it has imported."""
    inside = f"{module.__name__}."
    return [
        value
        for value in vars(module).values()
        if _is_model(value) and f"{value.__module__}.".startswith(inside)
    ]
