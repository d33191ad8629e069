"""The models that the arguments of the command name."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.exc import NoInspectionAvailable

from ...errors import FactoryError

__all__ = ["find_models"]


def find_models(paths: Iterable[str]) -> list[type]:
    """Return the models that paths name, in the order of definition.

    :param paths: each is ``module:Class``, or ``module`` for all models of the module.
    :raises FactoryError: there is no such module, or it has no such model.
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
                    f"{path!r} is not a model. The models of {module_name} are: {known}."
                )
            found[model] = None
        else:
            models = _defined(module)
            if not models:
                raise FactoryError(
                    f"The module {module_name!r} defines no model. Name a module that does, such as"
                    " app.models, or a model in it, such as app.models:User."
                )
            found.update(dict.fromkeys(models))
    return list(found)


def _module(module_name: str, path: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except (ImportError, ValueError) as error:
        raise FactoryError(
            f"{path!r} cannot be imported: {error}. Write it as app.models:User, with the module"
            " as in an import statement, and run the command in the folder of the package."
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
    """Return the models that a module defines, or that a package imports from its modules."""
    inside = f"{module.__name__}."
    return [
        value
        for value in vars(module).values()
        if _is_model(value) and f"{value.__module__}.".startswith(inside)
    ]
