"""The source of a factory's class."""

from __future__ import annotations

import keyword
import re
import textwrap
from collections.abc import Iterator

from ..base import BaseFactory
from .draft import FactoryPlan
from .python import FACTORY, call, imported_names, name

__all__ = ["class_source"]

#: The names that an attribute of a factory cannot have, since its class uses them.
_RESERVED = {
    *("Meta", "Params", "declarations", "mro", "factory"),
    *(key for key in dir(BaseFactory) if not key.startswith("_")),
}


def class_source(plan: FactoryPlan, class_name: str, bases: str) -> str:
    """Return the source of a factory's class.

    :param bases: the base classes; the last one is generic in the model.
    """
    model = name(plan.mapper.class_.__module__, plan.mapper.class_.__qualname__)
    table = getattr(plan.mapper.local_table, "name", plan.mapper.class_.__name__)
    lines = [f"class {class_name}({bases}[{model}]):", f'    """Creates rows of {table}."""']
    names = _declared_names(plan)
    for part in (_comments(plan), _meta(plan, names), _params(plan, names), _body(plan, names)):
        inner = list(part)
        if inner:
            lines += ["", *inner]
    return "\n".join(lines)


def _comments(plan: FactoryPlan) -> Iterator[str]:
    for comment in plan.comments:
        yield from textwrap.wrap(comment, 88, initial_indent="    # ", subsequent_indent="    # ")


def _meta(plan: FactoryPlan, names: dict[str, str]) -> Iterator[str]:
    renamed = {declared: key for key, declared in names.items() if key != declared}
    if plan.looked_up or renamed:
        yield "    class Meta:"
    if plan.looked_up:
        keys = tuple(names[key] for key in plan.looked_up)
        yield f"        sqlalchemy_get_or_create = {keys!r}"
    if renamed:
        yield f"        rename = {renamed!r}"


def _params(plan: FactoryPlan, names: dict[str, str]) -> Iterator[str]:
    if plan.params or plan.full:
        yield "    class Params:"
    for key, source in plan.params.items():
        yield f"        {key} = {source}"
    if plan.full:
        attributes = plan.mapper.attrs.keys()
        trait = next(one for one in ("full", "complete", "everything") if one not in attributes)
        optional = {names[key]: source for key, source in plan.full.items()}
        yield "        # Fills the optional columns, too."
        yield f"        {trait} = {call(f'{FACTORY}.Trait', **optional)}"


def _body(plan: FactoryPlan, names: dict[str, str]) -> Iterator[str]:
    # In the body of a class, an attribute hides an imported name from what comes after it.
    imported = imported_names("".join(plan.attributes.values()))
    for key in sorted(plan.attributes, key=lambda key: names[key] in imported):
        yield f"    {names[key]} = {plan.attributes[key]}"


def _declared_names(plan: FactoryPlan) -> dict[str, str]:
    """Return the name of each of the model's attributes in the factory."""
    return {key: _declared_name(key) for key in [*plan.attributes, *plan.full]}


def _declared_name(key: str) -> str:
    if key in _RESERVED or "__" in key or key.startswith("_") or keyword.iskeyword(key):
        return f"{re.sub('__+', '_', key).strip('_')}_"
    return key
