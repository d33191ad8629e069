"""A module of factories for models."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import Mapper, configure_mappers

from ..base import BaseFactory
from ..registry import Factories, trait_names
from .factory_class import class_source
from .formatting import NOT_FORMATTED, formatted
from .keys import concrete, parents
from .plan import plan_factory
from .python import name, resolve

__all__ = ["scaffold"]

_ANY = name("typing", "Any")

_BASE_CLASS = f'''\
M = {name("typing", "TypeVar")}("M")
factories = engine.Factories()


class BaseFactory(engine.BaseFactory[M], {name("typing", "Generic")}[M]):
    """The base class of the factories."""

    class Meta:
        abstract = True
        registry = factories
'''

_UNCONSTRUCTED_CLASS = f'''\
class Unconstructed:
    """Makes rows of models whose constructors do not take their attributes."""

    @classmethod
    def _build(cls, model_class: type[{_ANY}], *args: {_ANY}, **values: {_ANY}) -> {_ANY}:
        mapper = {name("sqlalchemy", "inspect")}(model_class)
        row = mapper.class_manager.new_instance()
        # Relationships come last: a collection may be keyed by a column.
        for key in sorted(values, key=lambda key: key in mapper.relationships):
            setattr(row, key, values[key])
        return row
'''


def scaffold(models: Sequence[type], known: Factories | None = None) -> str:
    """Return the source of a module with factories for models and for the parents they require.

    The source is formatted with ruff, if it is installed; otherwise a comment says how to do that.

    :param models: mapped classes.
    :param known: the existing factories. The new ones inherit their base class, and use them to
        create parents.
    """
    configure_mappers()
    existing = {factory._meta.model: factory for factory in reversed(list(known or ()))}
    mappers = list(_with_parents([inspect(model) for model in models], existing))
    names = _names([mapper.class_ for mapper in mappers])
    module = _Module(mappers, names, existing)
    unconstructed = _unconstructed(module.source(), names)
    module = replace(module, base=_base_class(known), unconstructed=unconstructed)
    source = module.source()
    return formatted(source) or f"{NOT_FORMATTED}\n{source}"


@dataclass(frozen=True)
class _Module:
    mappers: Sequence[Mapper[Any]]
    """The models, parents first."""

    names: dict[type, str]
    """The name of each model's new factory."""

    existing: dict[type, type[BaseFactory[Any]]]
    """The existing factories, by model."""

    base: type[BaseFactory[Any]] | None = None
    """The base class of the factories; ``None`` if the module defines its own."""

    unconstructed: frozenset[type] = frozenset()
    """The models that are made without their constructors."""

    def source(self) -> str:
        """Return the source of the module, which is not formatted."""
        parts, imports, taken = list(self._classes()), [], set(self.names.values())
        if self.unconstructed:
            parts.insert(0, _UNCONSTRUCTED_CLASS)
            taken.add("Unconstructed")
        if self.base is None:
            parts.insert(0, _BASE_CLASS)
            imports.append("from flask_testbed import factories as engine")
            taken |= {"BaseFactory", "M", "engine", "factories"}
        resolved, body = resolve("\n\n\n".join(part.rstrip() for part in parts), taken)
        imports = ["from __future__ import annotations", "", *sorted([*imports, *resolved])]
        return "\n".join([self._docstring(), "", *imports, "", "", body, ""])

    def _docstring(self) -> str:
        modules = {mapper.class_.__module__ for mapper in self.mappers}
        models = f"the models of {modules.pop()}" if len(modules) == 1 else "the models"
        return f'"""Factories for {models}."""'

    def _classes(self) -> Iterator[str]:
        base = "BaseFactory"
        if self.base is not None:
            base = name(self.base.__module__, self.base.__qualname__)
        defined: set[type] = set()
        for mapper in self.mappers:
            model = mapper.class_
            bases = f"Unconstructed, {base}" if model in self.unconstructed else base
            plan = plan_factory(mapper, lambda parent: self._reference(parent, defined))
            yield class_source(plan, self.names[model], bases)
            defined.add(model)

    def _reference(self, mapper: Mapper[Any], defined: set[type]) -> str | None:
        """Return the source that refers to the factory of a model.

        :param defined: the models whose factories stand above in the module.
        """
        model = mapper.class_
        if model in self.names:
            own = self.names[model]
            return own if model in defined else f'f"{{__name__}}.{own}"'
        if model in self.existing:
            factory = self.existing[model]
            return name(factory.__module__, factory.__qualname__)
        return None


def _unconstructed(source: str, names: dict[type, str]) -> frozenset[type]:
    """Return the models whose constructors do not take the attributes of a row.

    Only a call can tell, so the module is executed and its factories are called.
    """
    namespace: dict[str, Any] = {"__name__": "scaffolded"}
    exec(compile(source, "scaffolded", "exec"), namespace)
    # factory_boy imports the factories that are referred to by name.
    sys.modules["scaffolded"] = SimpleNamespace(**namespace)  # type: ignore[assignment]
    try:
        return frozenset(model for model, own in names.items() if not _builds(namespace[own]))
    finally:
        del sys.modules["scaffolded"]


def _builds(factory: type[BaseFactory[Any]]) -> bool:
    calls = [{}, *({trait: True} for trait in trait_names(factory))]
    try:
        for values in calls:
            factory.build(**values)
    # A constructor may raise any exception.
    except Exception:
        return False
    return True


def _base_class(known: Factories | None) -> type[BaseFactory[Any]] | None:
    """Return the abstract class that the application's factories inherit."""
    for factory in known or ():
        for base in factory.__mro__[1:]:
            if issubclass(base, BaseFactory) and base._meta.abstract:
                return base if base is not BaseFactory else None
    return None


def _with_parents(
    mappers: Iterable[Mapper[Any]], existing: dict[type, type[BaseFactory[Any]]]
) -> Iterator[Mapper[Any]]:
    """Yield the models that get a factory: parents first, and without those that have one."""
    seen: set[Mapper[Any]] = set()

    def visit(mapper: Mapper[Any], *, wanted: bool) -> Iterator[Mapper[Any]]:
        mapper = concrete(mapper)
        if mapper in seen or (mapper.class_ in existing and not wanted):
            return
        seen.add(mapper)
        for parent in parents(mapper):
            yield from visit(parent, wanted=False)
        yield mapper

    for mapper in mappers:
        yield from visit(mapper, wanted=True)


def _names(models: Sequence[type]) -> dict[type, str]:
    """Return the names of the factories, which differ even if two models have one name."""
    short = [model.__name__ for model in models]
    names: dict[type, str] = {}
    for model in models:
        own = f"{model.__name__}Factory"
        if short.count(model.__name__) > 1:
            place = model.__module__.replace(".models", "").rpartition(".")[2]
            own = f"{place.title().replace('_', '')}{own}"
        while own in names.values():
            own = f"Other{own}"
        names[model] = own
    return names
