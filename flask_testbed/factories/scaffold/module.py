"""A module of factories, from the plan of each of them to its source."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import Mapper, configure_mappers

from ..base import BaseFactory
from ..registry import Factories, trait_names
from .draft import Plan
from .keys import concrete, parents
from .plan import plan
from .python import (
    WIDTH,
    Expression,
    Imports,
    Pairs,
    assignment,
    call,
    import_lines,
    literal,
    name,
    raw,
)

__all__ = ["scaffold"]

_OWN_BASE = '''\
M = TypeVar("M")
factories = Factories()


class BaseFactory(engine.BaseFactory[M], Generic[M]):
    """A factory of one of the application's models."""

    class Meta:
        abstract = True
        registry = factories
'''

_UNCONSTRUCTED = '''\
class Unconstructed:
    """For models whose constructors take something else than what a row has."""

    @classmethod
    def _build(cls, model_class: type[Any], *args: Any, **values: Any) -> Any:
        mapper = inspect(model_class)
        row = mapper.class_manager.new_instance()
        # Relations come last: a collection may be keyed by a column.
        for key in sorted(values, key=lambda key: key in mapper.relationships):
            setattr(row, key, values[key])
        return row
'''

#: What an attribute of a factory cannot be called, since its class has it already.
_TAKEN = {
    *("Meta", "Params", "declarations", "mro", "factory"),
    *(key for key in dir(BaseFactory) if not key.startswith("_")),
}


def scaffold(models: Sequence[type], known: Factories | None = None) -> str:
    """Write factories for models, and for those without which these cannot be.

    :param models: mapped classes.
    :param known: the factories that there are: their base class is used, and they themselves for
        parents.
    :returns: the source of a module.
    """
    configure_mappers()
    module = _Module(models, known)
    return module.source(module.unconstructed())


class _Module:
    def __init__(
        self,
        models: Sequence[type],
        known: Factories | None,
        parents: dict[type, type[BaseFactory[Any]]] | None = None,
    ) -> None:
        factories = reversed(list(known or ()))
        self._known = parents or {factory._meta.model: factory for factory in factories}
        self._base = _base_of(known)
        self._order = list(_closure([inspect(model) for model in models], self._known))
        self._names = _names([mapper.class_ for mapper in self._order])
        self._defined: set[type] = set()

    def unconstructed(self) -> set[type]:
        """The models that cannot be made by a call with what a row has.

        Their constructors want something else, or refuse it; which shows only if they are called.
        """
        alone = _Module([mapper.class_ for mapper in self._order], None, self._known)
        namespace: dict[str, Any] = {"__name__": "scaffolded"}
        exec(compile(alone.source(set()), "scaffolded", "exec"), namespace)
        sys.modules["scaffolded"] = SimpleNamespace(**namespace)  # type: ignore[assignment]
        try:
            found = {one for one, own in alone._names.items() if not _is_built(namespace[own])}
        finally:
            del sys.modules["scaffolded"]
        return found

    def source(self, unconstructed: Set[type]) -> str:
        """The text of the module."""
        self._defined.clear()
        plans = []
        for mapper in self._order:
            planned = plan(mapper, self._target)
            planned.unconstructed = mapper.class_ in unconstructed
            plans.append(planned)
            self._defined.add(mapper.class_)
        imports = Imports(frozenset({("__future__", "annotations")})) | self._base_imports()
        for planned in plans:
            imports |= self._imports_of(planned)
        if unconstructed:
            imports |= Imports(frozenset({("sqlalchemy", "inspect"), ("typing", "Any")}))
        aliases = _aliases(imports, set(self._names.values()))
        head = [self._docstring(), "", *import_lines(_renamed(imports, aliases), _local(imports))]
        if self._base is None:
            head += ["", _OWN_BASE.rstrip()]
        if unconstructed:
            head += ["", "", _UNCONSTRUCTED.rstrip()]
        classes = ["\n".join(self._class(one, aliases)) for one in plans]
        return "\n\n\n".join(["\n".join(head), *classes]) + "\n"

    def _docstring(self) -> str:
        modules = sorted({mapper.class_.__module__ for mapper in self._order})
        return (
            f'"""Factories of the models of {modules[0]}."""'
            if len(modules) == 1
            else ('"""Factories of the application\'s models."""')
        )

    def _target(self, mapper: Mapper[Any]) -> Expression | None:
        model = mapper.class_
        if model in self._names:
            own = self._names[model]
            return raw(own) if model in self._defined else raw(f'f"{{__name__}}.{own}"')
        if model in self._known:
            factory = self._known[model]
            return name(factory.__module__, factory.__qualname__)
        return None

    def _base_imports(self) -> Imports:
        if self._base is not None:
            return Imports(frozenset({(self._base.__module__, self._base.__name__)}))
        return Imports(
            frozenset(
                {
                    ("typing", "Generic"),
                    ("typing", "TypeVar"),
                    ("flask_testbed", "Factories"),
                    ("flask_testbed", "factories as engine"),
                }
            )
        )

    def _imports_of(self, planned: Plan) -> Imports:
        found = _model(planned).imports
        for values in (planned.attributes, planned.params, planned.full):
            for value in values.values():
                found |= value.imports
        if planned.full:
            found |= raw("", ("factory", "")).imports
        return found

    def _class(self, planned: Plan, aliases: dict[tuple[str, str], str]) -> Iterator[str]:
        model = _model(planned).renamed(aliases)
        base = self._base.__name__ if self._base is not None else "BaseFactory"
        base = f"Unconstructed, {base}" if planned.unconstructed else base
        yield f"class {self._names[planned.mapper.class_]}({base}[{model.text}]):"
        trait = _free("full", "complete", "everything", taken={*planned.mapper.attrs.keys()})
        yield from _about(planned, trait)
        renamed = _declared_names(planned)
        yield from _meta(planned, renamed)
        yield from _params(planned, renamed, trait, aliases)
        lines = list(_attributes(planned, renamed, aliases))
        if lines:
            yield ""
            yield from lines


def _is_built(factory: type[BaseFactory[Any]]) -> bool:
    traits = [{}, *({name: True} for name in trait_names(factory))]
    try:
        for values in traits:
            factory.build(**values)
    # A constructor may raise whatever it likes.
    except Exception:
        return False
    return True


def _model(planned: Plan) -> Expression:
    model = planned.mapper.class_
    return name(model.__module__, model.__qualname__)


def _about(planned: Plan, trait: str) -> Iterator[str]:
    table = getattr(planned.mapper.local_table, "name", planned.mapper.class_.__name__)
    text = f'"""A row of {table}.'
    if planned.full:
        text += f" ``{trait}=True`` fills what is optional, too."
    if len(text) + 7 <= WIDTH:
        yield f'    {text}"""'
    else:
        yield from textwrap.wrap(text, WIDTH - 4, initial_indent="    ", subsequent_indent="    ")
        yield '    """'
    for comment in planned.comments:
        yield ""
        yield from textwrap.wrap(
            comment, WIDTH - 8, initial_indent="    # ", subsequent_indent="    # "
        )


def _meta(planned: Plan, renamed: dict[str, str]) -> Iterator[str]:
    moved = {declared: key for key, declared in renamed.items() if key != declared}
    if not (planned.looked_up or moved):
        return
    yield ""
    yield "    class Meta:"
    if planned.looked_up:
        keys = tuple(renamed[key] for key in planned.looked_up)
        yield from assignment("sqlalchemy_get_or_create", literal(keys), 8)
    if moved:
        yield from assignment("rename", Pairs("", Imports(), tuple(moved.items())), 8)


def _params(
    planned: Plan, renamed: dict[str, str], trait: str, aliases: dict[tuple[str, str], str]
) -> Iterator[str]:
    if not (planned.params or planned.full):
        return
    yield ""
    yield "    class Params:"
    for key, value in planned.params.items():
        yield from assignment(key, value.renamed(aliases), 8)
    if planned.full:
        optional = {renamed[key]: value for key, value in planned.full.items()}
        made = call(raw("factory.Trait", ("factory", "")), **optional)
        yield from assignment(trait, made.renamed(aliases), 8)


def _attributes(
    planned: Plan, renamed: dict[str, str], aliases: dict[tuple[str, str], str]
) -> Iterator[str]:
    # In the body of a class, an attribute hides what was imported under its name.
    imported = {one or module for values in planned.attributes.values()
                for module, one in values.imports.names}  # fmt: skip
    ordered = sorted(planned.attributes.items(), key=lambda pair: renamed[pair[0]] in imported)
    for key, value in ordered:
        yield from assignment(renamed[key], value.renamed(aliases), 4)


def _declared_names(planned: Plan) -> dict[str, str]:
    """What each attribute is called in the factory."""
    import keyword

    found = {}
    for key in [*planned.attributes, *planned.full]:
        bad = key in _TAKEN or "__" in key or key.startswith("_") or keyword.iskeyword(key)
        found[key] = f"{re.sub('__+', '_', key).strip('_')}_" if bad else key
    return found


def _free(*names: str, taken: set[str]) -> str:
    return next(one for one in (*names, "_".join(names)) if one not in taken)


def _base_of(known: Factories | None) -> type[Any] | None:
    """The abstract class that the application's factories inherit."""
    for factory in known or ():
        for base in factory.__mro__[1:]:
            if issubclass(base, BaseFactory) and base._meta.abstract:
                return base if base is not BaseFactory else None
    return None


def _closure(mappers: Iterable[Mapper[Any]], known: dict[Any, Any]) -> Iterator[Mapper[Any]]:
    """The models and those without which they cannot be, parents first."""
    seen: set[Mapper[Any]] = set()

    def visit(mapper: Mapper[Any], *, wanted: bool) -> Iterator[Mapper[Any]]:
        mapper = concrete(mapper)
        if mapper in seen or (mapper.class_ in known and not wanted):
            return
        seen.add(mapper)
        for parent in parents(mapper):
            yield from visit(parent, wanted=False)
        yield mapper

    for mapper in mappers:
        yield from visit(mapper, wanted=True)


def _names(models: Sequence[type]) -> dict[type, str]:
    """What the factories are called; of models of one name, after their modules as well."""
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


def _aliases(imports: Imports, taken: set[str]) -> dict[tuple[str, str], str]:
    """Other names for what would hide, or be hidden by, something of the same name."""
    of_the_engine = {pair for pair in imports.names if pair[0].partition(".")[0] in _TRUSTED}
    used = {one for _, one in of_the_engine} | taken | {"BaseFactory", "M", "factories", "factory"}
    aliases = {}
    for module, one in sorted(imports.names - of_the_engine):
        if one and one in used and one != "BaseFactory":
            place = module.replace(".models", "").rpartition(".")[2].title().replace("_", "")
            alias = f"{place}{one}"
            while alias in used:
                alias = f"Other{alias}"
            aliases[module, one] = alias
            used.add(alias)
        used.add(one)
    return aliases


_TRUSTED = {"flask_testbed", "factory", "datetime", "decimal", "typing", "sqlalchemy", "__future__"}


def _renamed(imports: Imports, aliases: dict[tuple[str, str], str]) -> Imports:
    return Imports(
        frozenset(
            (module, f"{one} as {aliases[module, one]}" if (module, one) in aliases else one)
            for module, one in imports.names
        )
    )


def _local(imports: Imports) -> set[str]:
    """The packages of the project itself: those that are in the folder where the command runs."""
    here = [Path.cwd(), Path.cwd() / "src"]
    tops = {module.partition(".")[0] for module, _ in imports.names}
    return {
        top
        for top in tops
        if any((one / top).is_dir() or (one / f"{top}.py").is_file() for one in here)
    }
