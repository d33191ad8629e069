"""Which settings a text sets with ``set_config()``, and for how long.

https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-SET
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_CALL = re.compile(r"\bset_config\s*\(", re.IGNORECASE)
_PLACE = re.compile(r"%s|%\((?P<name>\w+)\)s")
_CAST = re.compile(r"::\s*\w+\s*$")


def configured_locally(text: str, parameters: Any) -> Iterator[str]:
    """The names of the settings that are set until the end of the transaction.

    In doubt one is: then it is set back to what it was before.

    :param parameters: those of the text, by place or by name.
    """
    for call in _CALL.finditer(text):
        arguments = list(_arguments(text, call.end()))
        values = [_value(text, start, end, parameters) for start, end in arguments]
        session = len(values) == 3 and str(values[2]).lower() in {"false", "f", "off", "0"}
        if values and values[0] is not None and not session:
            yield str(values[0])


def _arguments(text: str, start: int) -> Iterator[tuple[int, int]]:
    """Where each argument of a call begins and ends."""
    depth, quoted = 0, False
    for position in range(start, len(text)):
        letter = text[position]
        if letter == "'":
            quoted = not quoted
        elif not quoted and letter in "([":
            depth += 1
        elif not quoted and letter in ",)" and not depth:
            yield start, position
            start = position + 1
            if letter == ")":
                return
        elif not quoted and letter in ")]":
            depth -= 1


def _value(text: str, start: int, end: int, parameters: Any) -> Any:
    """What an argument is: a literal or a parameter; ``None`` if it is something else."""
    argument = _CAST.sub("", text[start:end].strip())
    if argument.startswith("'") and argument.endswith("'"):
        return argument[1:-1].replace("''", "'")
    place = _PLACE.fullmatch(argument)
    if place is None:
        return argument if argument.lower() in {"true", "false"} else None
    if place["name"] is not None:
        return parameters[place["name"]]
    return parameters[text[:start].count("%s")]
