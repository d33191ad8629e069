"""Reading what a CHECK constraint says: a parser of simple SQL expressions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

__all__ = ["Node", "Unknown", "parse"]


class Unknown(Exception):
    """There is no telling, or no understanding."""


@dataclass(frozen=True)
class Node:
    """A part of an expression: what it does, and to what."""

    kind: str
    parts: tuple[Any, ...]

    def columns(self) -> Iterator[str]:
        """The columns that it mentions."""
        if self.kind == "column":
            yield self.parts[0]
        for part in self.parts:
            if isinstance(part, Node):
                yield from part.columns()


_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
      | E?'(?P<text>(?:[^']|'')*)'
      | "(?P<quoted>(?:[^"]|"")+)"
      | (?P<word>[A-Za-z_][A-Za-z0-9_$]*)
      | (?P<mark>::|<>|!=|<=|>=|\|\||!~\*?|~\*?|@>|<@|&&|->>?|[-+*/%<>=(),.\[\]])
    )""",
    re.VERBOSE,
)

_COMPARISONS = {"=", "<>", "!=", "<", "<=", ">", ">="}
_MATCHES = {"~", "~*", "!~", "!~*"}


def parse(text: str) -> Node:
    """Read an expression.

    :raises Unknown: it is beyond what this understands.
    """
    parser = _Parser(text)
    node = parser.disjunction()
    parser.end()
    return node


class _Parser:
    """By recursive descent: one method for each level of precedence."""

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
        self._at = 0

    def _next(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _take(self) -> tuple[str, str]:
        token = self._next()
        self._at += 1
        return token

    def _accept(self, *words: str) -> bool:
        """Take these words or marks, if they are what comes next."""
        coming = self._tokens[self._at : self._at + len(words)]
        if [text.upper() for kind, text in coming if kind in ("word", "mark")] != list(words):
            return False
        self._at += len(words)
        return True

    def _expect(self, *words: str) -> None:
        if not self._accept(*words):
            raise Unknown(f"{self._next()[1]!r} instead of {words}")

    def end(self) -> None:
        if self._next()[0] != "end":
            raise Unknown(self._next()[1])

    def disjunction(self) -> Node:
        parts = [self._conjunction()]
        while self._accept("OR"):
            parts.append(self._conjunction())
        return Node("or", tuple(parts)) if len(parts) > 1 else parts[0]

    def _conjunction(self) -> Node:
        parts = [self._negation()]
        while self._accept("AND"):
            parts.append(self._negation())
        return Node("and", tuple(parts)) if len(parts) > 1 else parts[0]

    def _negation(self) -> Node:
        if self._accept("NOT"):
            return Node("not", (self._negation(),))
        return self._comparison()

    def _comparison(self) -> Node:
        node = self._sum()
        while True:
            compared = self._compared(node)
            if compared is None:
                return node
            node = compared

    def _compared(self, left: Node) -> Node | None:
        if self._accept("IS"):
            return self._is(left)
        if self._accept("NOT"):
            found = self._membership(left)
            if found is None:
                raise Unknown("NOT")
            return Node("not", (found,))
        kind, text = self._next()
        if kind == "mark" and text in _COMPARISONS | _MATCHES:
            self._take()
            if text == "=" and self._accept("ANY"):
                return Node("in", (left, *self._listed()))
            return Node("compare" if text in _COMPARISONS else "match", (text, left, self._sum()))
        return self._membership(left)

    def _is(self, left: Node) -> Node:
        negated = self._accept("NOT")
        if self._accept("NULL"):
            node = Node("is null", (left,))
        elif self._accept("TRUE") or self._accept("FALSE"):
            node = Node("is", (left, self._tokens[self._at - 1][1].upper() == "TRUE"))
        else:
            raise Unknown("IS")
        return Node("not", (node,)) if negated else node

    def _membership(self, left: Node) -> Node | None:
        if self._accept("IN"):
            return Node("in", (left, *self._listed()))
        if self._accept("BETWEEN"):
            low = self._sum()
            self._expect("AND")
            bounds = (
                Node("compare", (">=", left, low)),
                Node("compare", ("<=", left, self._sum())),
            )
            return Node("and", bounds)
        if self._accept("LIKE"):
            return Node("like", (left, self._sum()))
        return None

    def _listed(self) -> list[Node]:
        """The items of ``('a', 'b')``, or of ``(ARRAY['a', 'b'])``, with or without casts."""
        self._expect("(")
        node = self._sum()
        items = list(node.parts) if node.kind == "array" else [node]
        while self._accept(","):
            items.append(self._sum())
        self._expect(")")
        return items

    def _sum(self) -> Node:
        node = self._product()
        while self._next()[1] in ("+", "-", "||") and self._next()[0] == "mark":
            node = Node("arithmetic", (self._take()[1], node, self._product()))
        return node

    def _product(self) -> Node:
        node = self._signed()
        while self._next()[1] in ("*", "/", "%") and self._next()[0] == "mark":
            node = Node("arithmetic", (self._take()[1], node, self._signed()))
        return node

    def _signed(self) -> Node:
        if self._accept("-"):
            return Node("arithmetic", ("-", Node("literal", (0,)), self._signed()))
        node = self._primary()
        while self._accept("::"):
            self._type()
        return node

    def _type(self) -> None:
        """A cast is passed over: values are compared as what they are."""
        if self._take()[0] not in ("word", "quoted"):
            raise Unknown("a type")
        while self._next()[1].lower() in (
            "varying",
            "precision",
            "with",
            "without",
            "time",
            "zone",
        ):
            self._take()
        if self._accept("("):
            while not self._accept(")"):
                if self._take()[0] == "end":
                    raise Unknown("a type")
        self._accept("[", "]")

    def _primary(self) -> Node:
        if self._accept("("):
            node = self.disjunction()
            self._expect(")")
            return node
        kind, text = self._take()
        if kind == "number":
            return Node(
                "literal", (Decimal(text) if "." in text or "e" in text.lower() else int(text),)
            )
        if kind == "text":
            return Node("literal", (text.replace("''", "'"),))
        if kind == "word" and text.upper() in _CONSTANTS:
            return Node("literal", (_CONSTANTS[text.upper()],))
        if kind in ("word", "quoted"):
            return self._named(text, quoted=kind == "quoted")
        raise Unknown(text)

    def _named(self, name: str, *, quoted: bool) -> Node:
        if not quoted and name.upper() == "ARRAY" and self._accept("["):
            return Node("array", tuple(self._arguments("]")))
        if not quoted and name.upper() == "CAST":
            self._expect("(")
            node = self.disjunction()
            self._expect("AS")
            self._type()
            self._expect(")")
            return node
        if not quoted and name.upper() == "CASE":
            raise Unknown("CASE")
        if self._accept("("):
            # Of trim(both from x), only the x counts.
            for word in ("BOTH", "LEADING", "TRAILING", "FROM"):
                self._accept(word)
            return Node("call", (name.lower(), *self._arguments(")")))
        if self._accept("."):
            # The column of a table, whose name comes first.
            _, name = self._take()
        return Node("column", (name,))

    def _arguments(self, closing: str) -> list[Node]:
        parts: list[Node] = []
        while not self._accept(closing):
            parts.append(self.disjunction())
            if not self._accept(","):
                self._expect(closing)
                break
        return parts


_CONSTANTS = {"TRUE": True, "FALSE": False, "NULL": None}
