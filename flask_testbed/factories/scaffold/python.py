"""Python source, laid out as the usual formatters lay it out.

Whatever does not fit in a line is broken with a comma after its last item, which formatters leave
as it is, whichever length of lines they are set to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "WIDTH",
    "Call",
    "Expression",
    "Imports",
    "Pairs",
    "assignment",
    "call",
    "literal",
    "name",
    "raw",
]

WIDTH = 88


@dataclass(frozen=True)
class Imports:
    """What source needs: modules, and names of modules."""

    names: frozenset[tuple[str, str]] = frozenset()
    """A module and a name of it; an empty name means the module itself."""

    def __or__(self, other: Imports) -> Imports:
        return Imports(self.names | other.names)


@dataclass(frozen=True)
class Expression:
    """Source that is not broken into lines."""

    text: str
    imports: Imports = field(default_factory=Imports)

    def flat(self) -> str:
        """In one line."""
        return self.text

    def renamed(self, aliases: Mapping[tuple[str, str], str]) -> Expression:
        """With other names for some of what it imports."""
        return Expression(self._text(aliases), self.imports)

    def _text(self, aliases: Mapping[tuple[str, str], str]) -> str:
        text = self.text
        for pair in self.imports.names & aliases.keys():
            text = re.sub(r"(?<![\w.\"'])" + re.escape(pair[1]) + r"\b", aliases[pair], text)
        return text

    def lines(self, before: str, after: str, indent: int) -> list[str]:
        """With what stands before and after it; as few lines as fit."""
        return [f"{' ' * indent}{before}{self.flat()}{after}"]


@dataclass(frozen=True)
class Call(Expression):
    """A call, which is broken if it is too long."""

    arguments: tuple[tuple[str, Expression], ...] = ()
    """With their keywords, which are empty for positional ones."""

    def flat(self) -> str:
        """In one line."""
        return f"{self.text}({', '.join(key + value.flat() for key, value in self._pairs())})"

    def renamed(self, aliases: Mapping[tuple[str, str], str]) -> Call:
        """With other names for some of what it imports."""
        arguments = tuple((key, value.renamed(aliases)) for key, value in self.arguments)
        return Call(self._text(aliases), self.imports, arguments)

    def _pairs(self) -> Iterator[tuple[str, Expression]]:
        for key, value in self.arguments:
            yield (f"{key}=" if key else ""), value

    def lines(self, before: str, after: str, indent: int) -> list[str]:
        """With what stands before and after it; as few lines as fit."""
        flat = f"{' ' * indent}{before}{self.flat()}{after}"
        if len(flat) <= WIDTH or not self.arguments:
            return [flat]
        inner = [line for key, value in self._pairs() for line in value.lines(key, ",", indent + 4)]
        return [f"{' ' * indent}{before}{self.text}(", *inner, f"{' ' * indent}){after}"]


@dataclass(frozen=True)
class Pairs(Expression):
    """A dictionary of texts."""

    pairs: tuple[tuple[str, str], ...] = ()

    def flat(self) -> str:
        """In one line."""
        return f"{{{', '.join(f'{quoted(key)}: {quoted(text)}' for key, text in self.pairs)}}}"

    def lines(self, before: str, after: str, indent: int) -> list[str]:
        """With what stands before and after it; as few lines as fit."""
        flat = f"{' ' * indent}{before}{self.flat()}{after}"
        if len(flat) <= WIDTH:
            return [flat]
        space = " " * (indent + 4)
        inner = [f"{space}{quoted(key)}: {quoted(text)}," for key, text in self.pairs]
        return [f"{' ' * indent}{before}{{", *inner, f"{' ' * indent}}}{after}"]


def raw(text: str, *imports: tuple[str, str]) -> Expression:
    """Source as it is, with what it needs."""
    return Expression(text, Imports(frozenset(imports)))


def name(module: str, qualified: str) -> Expression:
    """A name of a module: the first part is imported."""
    return raw(qualified, (module, qualified.partition(".")[0]))


def call(function: Expression, *arguments: Expression, **named: Expression) -> Call:
    """A call of a function."""
    pairs = [("", one) for one in arguments] + list(named.items())
    imports = function.imports
    for _, one in pairs:
        imports |= one.imports
    return Call(function.text, imports, tuple(pairs))


def literal(value: Any) -> Expression:
    """A constant, with double quotes where there are quotes."""
    if isinstance(value, str):
        return raw(quoted(value))
    if isinstance(value, tuple):
        inner = ", ".join(literal(item).flat() for item in value)
        return raw(f"({inner},)" if len(value) == 1 else f"({inner})")
    if isinstance(value, list):
        return raw(f"[{', '.join(literal(item).flat() for item in value)}]")
    if isinstance(value, bytes):
        return raw(f"b{quoted(value.decode('ascii'))}")
    return raw(repr(value))


def quoted(text: str) -> str:
    """Text in double quotes, or in single ones if that saves escapes."""
    shown = repr(text)
    if shown.startswith('"') or '"' in text:
        return shown
    inner = shown[1:-1].replace("\\'", "'")
    return f'"{inner}"'


def assignment(target: str, value: Expression, indent: int) -> list[str]:
    """``target = value``."""
    return value.lines(f"{target} = ", "", indent)


def import_lines(imports: Imports, local: Iterable[str]) -> list[str]:
    """Import statements in the order that isort and ruff want.

    :param local: top-level packages of the project itself, which come last.
    """
    import sys

    own = set(local)
    groups: list[set[str]] = [set(), set(), set(), set()]
    for module, _ in imports.names:
        top = module.partition(".")[0]
        if module == "__future__":
            groups[0].add(module)
        elif top in sys.stdlib_module_names:
            groups[1].add(module)
        else:
            groups[3 if top in own else 2].add(module)
    blocks = [_block(group, imports) for group in groups if group]
    return [line for block in blocks for line in [*block, ""]][:-1]


def _block(modules: set[str], imports: Imports) -> list[str]:
    plain = sorted(module for module in modules if (module, "") in imports.names)
    lines = [f"import {module}" for module in plain]
    for module in sorted(modules, key=lambda one: (one.lower(), one)):
        names = sorted(
            (found for where, found in imports.names if where == module and found), key=_as_isort
        )
        plain_names = [one for one in names if " as " not in one]
        if plain_names:
            lines += _from(module, plain_names)
        lines += [f"from {module} import {one}" for one in names if " as " in one]
    return lines


def _as_isort(text: str) -> tuple[int, str]:
    """Constants before classes before functions, each by the alphabet."""
    if text.isupper() and len(text) > 1:
        return 0, text
    return (1 if text[:1].isupper() else 2), text


def _from(module: str, names: Sequence[str]) -> list[str]:
    flat = f"from {module} import {', '.join(names)}"
    if len(flat) <= WIDTH:
        return [flat]
    return [f"from {module} import (", *(f"    {one}," for one in names), ")"]
