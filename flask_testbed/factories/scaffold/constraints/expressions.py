"""A parser of the SQL expressions that CHECK constraints consist of.

sqlglot was tried in its place. It read one constraint fewer of 301, and between its releases 28
and 30 the tree for ``IS NOT NULL`` changed from a negation into a flag of ``IS NULL``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

__all__ = ["Parsed", "Unknown", "parse"]


class Unknown(Exception):
    """An expression cannot be parsed, or its value cannot be determined."""


@dataclass(frozen=True)
class Parsed:
    """A parsed expression: the kind of its operation, and the operands."""

    kind: str
    parts: tuple[Any, ...]

    def columns(self) -> Iterator[str]:
        """Yield the names of the columns that it mentions."""
        if self.kind == "column":
            yield self.parts[0]
        for part in self.parts:
            if isinstance(part, Parsed):
                yield from part.columns()


_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
      | E?'(?P<text>(?:[^']|'')*)'
      | "(?P<quoted>(?:[^"]|"")+)"
      | (?P<word>[A-Za-z_][A-Za-z0-9_$]*)
      | (?P<sign>::|<>|!=|<=|>=|\|\||!~\*?|~\*?|@>|<@|&&|->>?|[-+*/%<>=(),.\[\]])
    )""",
    re.VERBOSE,
)

#: How tightly each operator binds its operands
#: (https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-PRECEDENCE).
_BINDING = {
    sign: binding
    for binding, signs in enumerate(
        [
            ["OR"],
            ["AND"],
            ["IS"],
            ["=", "<>", "!=", "<", "<=", ">", ">="],
            ["NOT", "IN", "BETWEEN", "LIKE"],
            ["||", "~", "~*", "!~", "!~*"],
            ["+", "-"],
            ["*", "/", "%"],
            ["::"],
        ],
        start=1,
    )
    for sign in signs
}

_CONSTANTS = {"TRUE": True, "FALSE": False, "NULL": None}

#: The words that may follow the first one in the name of a type.
_TYPE_WORDS = {"VARYING", "PRECISION", "WITH", "WITHOUT", "TIME", "ZONE"}


def parse(text: str) -> Parsed:
    """Parse an expression.

    :raises Unknown: the expression uses syntax that is not supported.
    """
    parser = _Parser(text)
    parsed = parser.expression()
    parser.expect("")
    return parsed


class _Parser:
    """An operator precedence parser."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        position, text = 0, text.strip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise Unknown(text[position:])
            position = match.end()
            kind = str(match.lastgroup)
            self._tokens.append((kind, match[kind]))
        self._tokens.append(("end", ""))

    @property
    def _word(self) -> str:
        """The next token, if it is an operator or a keyword; otherwise a text that is neither."""
        kind, text = self._tokens[0]
        return text.upper() if kind in ("word", "sign", "end") else f"{kind} {text}"

    def _take(self) -> tuple[str, str]:
        if self._tokens[0][0] == "end":
            raise Unknown("the end")
        return self._tokens.pop(0)

    def _accept(self, word: str) -> bool:
        found = self._word == word
        if found:
            self._take()
        return found

    def expect(self, word: str) -> None:
        """Take one operator or keyword; the empty text stands for the end."""
        if word == self._word == "":
            return
        if not self._accept(word):
            raise Unknown(f"{self._word!r} instead of {word!r}")

    def expression(self, binding: int = 0) -> Parsed:
        """Parse operands, and the operators between them that bind tighter than ``binding``."""
        parsed = self._operand()
        while _BINDING.get(self._word, 0) > binding:
            parsed = self._operation(parsed)
        return parsed

    def _operation(self, left: Parsed) -> Parsed:
        sign = self._take()[1].upper()
        binding = _BINDING.get(sign, 0)
        match sign:
            case "AND" | "OR":
                kind = sign.lower()
                first = left.parts if left.kind == kind else (left,)
                return Parsed(kind, (*first, self.expression(binding)))
            case "IS":
                return self._is(left)
            case "NOT":
                return Parsed("not", (self._operation(left),))
            case "IN":
                return Parsed("in", (left, *self._list()))
            case "BETWEEN":
                low = self.expression(binding)
                self.expect("AND")
                high = self.expression(binding)
                return Parsed(
                    "and",
                    (Parsed("compare", (">=", left, low)), Parsed("compare", ("<=", left, high))),
                )
            case "LIKE":
                return Parsed("like", (left, self.expression(binding)))
            case "::":
                self._skip_type()
                return left
            case "=" if self._accept("ANY"):
                return Parsed("in", (left, *self._list()))
            case "=" | "<>" | "!=" | "<" | "<=" | ">" | ">=":
                return Parsed("compare", (sign, left, self.expression(binding)))
            case "~" | "~*" | "!~" | "!~*":
                return Parsed("match", (sign, left, self.expression(binding)))
            case "||" | "+" | "-" | "*" | "/" | "%":
                return Parsed("arithmetic", (sign, left, self.expression(binding)))
        raise Unknown(sign)

    def _is(self, left: Parsed) -> Parsed:
        negated = self._accept("NOT")
        word = self._take()[1].upper()
        if word not in _CONSTANTS:
            raise Unknown(f"IS {word}")
        null = word == "NULL"
        parsed = Parsed("is null", (left,)) if null else Parsed("is", (left, _CONSTANTS[word]))
        return Parsed("not", (parsed,)) if negated else parsed

    def _list(self) -> tuple[Parsed, ...]:
        """Parse the items of ``('a', 'b')`` or of ``(ARRAY['a', 'b'])``."""
        self.expect("(")
        items = self._until(")")
        return items[0].parts if len(items) == 1 and items[0].kind == "array" else items

    def _until(self, closing: str) -> tuple[Parsed, ...]:
        """Parse expressions with commas between them."""
        parts: list[Parsed] = []
        while not self._accept(closing):
            if parts:
                self.expect(",")
            parts.append(self.expression())
        return tuple(parts)

    def _skip_type(self) -> None:
        """Skip the type of a cast: values are compared without one."""
        if self._take()[0] not in ("word", "quoted"):
            raise Unknown("a type")
        while self._word in _TYPE_WORDS:
            self._take()
        if self._accept("("):
            self._until(")")
        if self._accept("["):
            self.expect("]")

    def _operand(self) -> Parsed:
        kind, text = self._take()
        if kind == "number":
            whole = text.isdigit()
            return Parsed("literal", (int(text) if whole else Decimal(text),))
        if kind == "text":
            return Parsed("literal", (text.replace("''", "'"),))
        if kind == "quoted":
            return self._named(text)
        match text.upper():
            case "NOT":
                return Parsed("not", (self.expression(_BINDING["AND"]),))
            case "-":
                zero = Parsed("literal", (0,))
                return Parsed("arithmetic", ("-", zero, self.expression(_BINDING["*"])))
            case "(":
                parsed = self.expression()
                self.expect(")")
                return parsed
            case "TRUE" | "FALSE" | "NULL" as constant:
                return Parsed("literal", (_CONSTANTS[constant],))
            case "ARRAY" if self._accept("["):
                return Parsed("array", self._until("]"))
            case "CAST" if self._accept("("):
                parsed = self.expression()
                self.expect("AS")
                self._skip_type()
                self.expect(")")
                return parsed
            case "CASE":
                raise Unknown("CASE")
        if kind == "word":
            return self._named(text.lower())
        raise Unknown(text)

    def _named(self, name: str) -> Parsed:
        """Parse a function call or a column."""
        if self._accept("("):
            # In trim(BOTH FROM name), only the name counts.
            for word in ("BOTH", "LEADING", "TRAILING", "FROM"):
                self._accept(word)
            return Parsed("call", (name, *self._until(")")))
        if self._accept("."):
            # What stood before the dot is the table's name.
            kind, name = self._take()
            return Parsed("column", (name if kind == "quoted" else name.lower(),))
        return Parsed("column", (name,))
