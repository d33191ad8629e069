"""Texts that match a regular expression."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..._compat import parse_regex

__all__ = ["text_like"]

_CATEGORIES = {"CATEGORY_DIGIT": "1", "CATEGORY_WORD": "a", "CATEGORY_SPACE": " "}


def text_like(pattern: str) -> str | None:
    """Return a simple text that a pattern matches, or ``None`` if none was found."""
    try:
        text = "".join(_simplest(parse_regex(pattern)))
    except (re.error, LookupError, ValueError):
        return None
    return text if re.search(pattern, text) else None


def _simplest(parsed: Any) -> Iterator[str]:
    for operation, value in parsed:
        match str(operation):
            case "LITERAL":
                yield chr(value)
            case "ANY":
                yield "a"
            case "IN":
                yield from _simplest(value[:1])
            case "RANGE":
                yield chr(value[0])
            case "CATEGORY":
                yield _CATEGORIES[str(value)]
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, part = value
                yield "".join(_simplest(part)) * max(least, min(most, 1))
            case "SUBPATTERN":
                yield from _simplest(value[-1])
            case "BRANCH":
                yield from _simplest(value[1][0])
            case "AT":
                pass
            case other:
                raise ValueError(other)
