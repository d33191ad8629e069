r"""Python source in which each name that must be imported is marked.

A marked name is written ``\0module:name\0``. When the source of a whole module is there, `resolve`
replaces the marks by local names, and returns the imports that these need. The source is not laid
out: see :mod:`.formatting`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["FACTORY", "call", "imported_names", "name", "resolve"]

_MARK = re.compile(r"\0([\w.]+):(\w*)\0")

#: The module ``factory``, which is imported as a whole.
FACTORY = "\0factory:\0"

#: Names of these packages keep their names; others get an alias if they collide with them.
_KEEP_THEIR_NAMES = {"datetime", "decimal", "factory", "flask_testbed", "sqlalchemy", "typing"}


def name(module: str, qualified: str) -> str:
    """Return the source of a name of a module. Its first part is what will be imported."""
    first, dot, rest = qualified.partition(".")
    return f"\0{module}:{first}\0{dot}{rest}"


def call(function: str, /, *arguments: str, **keywords: str) -> str:
    """Return the source of a call."""
    parts = [*arguments, *(f"{key}={value}" for key, value in keywords.items())]
    return f"{function}({', '.join(parts)})"


def imported_names(source: str) -> set[str]:
    """Return the names that source with marks imports."""
    return {one or module for module, one in _MARK.findall(source)}


def resolve(source: str, taken: Iterable[str]) -> tuple[list[str], str]:
    """Return the import statements that source needs, and the source without marks.

    :param taken: the names that the source defines itself.
    """
    local: dict[tuple[str, str], str] = {}
    used = set(taken)
    found = set(_MARK.findall(source))
    for module, own in sorted(found, key=lambda pair: (not _keeps_its_name(pair[0]), pair)):
        alias = own or module
        if alias in used:
            alias = module.replace(".models", "").rpartition(".")[2].title().replace("_", "") + own
        while alias in used:
            alias = f"Other{alias}"
        local[module, own] = alias
        used.add(alias)
    imports = sorted(_import(*pair, alias) for pair, alias in local.items())
    return imports, _MARK.sub(lambda mark: local[mark[1], mark[2]], source)


def _keeps_its_name(module: str) -> bool:
    return module.partition(".")[0] in _KEEP_THEIR_NAMES


def _import(module: str, own: str, alias: str) -> str:
    if not own:
        return f"import {module}"
    return f"from {module} import {own}" + (f" as {alias}" if alias != own else "")
