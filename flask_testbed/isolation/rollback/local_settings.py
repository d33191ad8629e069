"""Settings that are local to a transaction, which the end of a savepoint does not restore.

Until a transaction commits, nothing tells what ``SET LOCAL`` or ``set_config(…, true)`` has changed
from a setting of the session. So the settings that a transaction may set are read before it sets
them, and written when it commits; a rollback restores them by itself.

Which those are is told from names: every word of the statement and of its parameters may be one,
and so may every word of the database's functions that set something (see :mod:`.catalog`).
``pg_settings`` would not do: it leaves out ``role``, ``session_authorization`` and every setting
with a dot in its name, and reading it takes 15 times as long as a statement.

https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-SET
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

#: Values by name. A setting that does not exist has none.
Settings = dict[str, str | None]

#: Settings that a statement can set without naming them (SET TIME ZONE, SET ROLE, …). These two
#: come first: other settings may need the rights of the role that they restore.
_WITH_A_SYNTAX_OF_THEIR_OWN = (
    "session_authorization",
    "role",
    "client_encoding",
    "search_path",
    "timezone",
    "xmloption",
)

_NAME = re.compile(r"[a-z_][\w$]*(?:\.[a-z_][\w$]*)*")


def names_in(text: str, parameters: Any = None) -> frozenset[str]:
    """Return the words of a statement, in lower case, that may be names of settings.

    :param parameters: those of the statement, by place or by name.
    """
    names = _words(text)
    if parameters:
        values = parameters.values() if isinstance(parameters, Mapping) else parameters
        names |= {value.lower() for value in values if isinstance(value, str) and _is_name(value)}
    return names


@lru_cache(maxsize=1024)
def _words(text: str) -> frozenset[str]:
    return frozenset({*_NAME.findall(text.lower()), *_WITH_A_SYNTAX_OF_THEIR_OWN})


def _is_name(value: str) -> bool:
    return len(value) < 64 and _NAME.fullmatch(value.lower()) is not None


def read(names: Iterable[str]) -> str:
    """Return the command that reads settings, for :func:`parse`."""
    listed = ", ".join(map(_literal, sorted(names)))
    return (
        "SELECT json_object_agg(name, current_setting(name, true))::text"  # noqa: S608 (literals)
        f" FROM unnest(ARRAY[{listed}]) AS name"
    )


def parse(answer: str | None) -> Settings:
    """Return the settings that :func:`read` has read."""
    settings: Settings = json.loads(answer or "{}")
    return settings


def write(settings: Settings) -> list[str]:
    """Return the commands that set settings locally to values that have been read."""
    values = dict(_to_be_written(settings))
    if not values:
        return []
    return [
        "SELECT set_config(key, value, true)"  # noqa: S608 (a literal)
        f" FROM json_each_text({_literal(json.dumps(values))})"
        " WHERE coalesce(current_setting(key, true), '') <> value"
    ]


def _to_be_written(settings: Settings) -> Iterator[tuple[str, str]]:
    for name in sorted(settings, key=_order):
        value = settings[name]
        # A savepoint restores READ ONLY by itself, and the isolation level cannot be another.
        if name.startswith("transaction_"):
            continue
        if value is not None:
            yield name, value
        elif "." in name:
            # A setting with a dot comes into being when it is set, and is empty afterwards.
            yield name, ""


def _order(name: str) -> int:
    own = _WITH_A_SYNTAX_OF_THEIR_OWN
    return own.index(name) if name in own else len(own)


def _literal(text: str) -> str:
    # With E, a backslash means the same whatever standard_conforming_strings says.
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
