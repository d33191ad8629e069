"""What a statement does to its transaction and its session, told from its text.

Comments and literals do not count. In doubt a statement is taken for one that does more: nothing
is lost by that but a refusal that was not necessary.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

#: What a statement begins with that changes nothing, unless one of the other words is in it.
_READING = frozenset(
    {"select", "values", "table", "show", "with", "explain", "fetch", "move", "close", "declare"}
)
_WRITING = frozenset({"insert", "update", "delete", "merge", "into", "create"})
_WRITING_PREFIXES = ("lo_", "lowrite", "dblink", "pg_advisory", "pg_try_advisory")

#: https://www.postgresql.org/docs/current/sql-commands.html, those that end or begin transactions.
_CONTROL = frozenset({"begin", "start", "commit", "end", "abort", "rollback", "prepare"})
_TWO_PHASE = re.compile(r"(prepare transaction|(commit|rollback) prepared)\b")
_DDL = frozenset(
    {"create", "alter", "drop", "reindex", "refresh", "comment", "grant", "revoke", "security"}
    # These may do anything.
    | {"do", "call", "import", "cluster"}
)
_IN_A_FUNCTION = _DDL | {"truncate", "copy", "lock", "execute", "reset", "listen"}
_LASTING = frozenset({"load", "prepare"})
# A block or a procedure may set what it likes.
_SESSION = frozenset({"listen", "load", "prepare", "do", "call"})
_SETS_LOCALLY = re.compile(r"\bset\s+local\b|\bset_config\b")
_SETS_BY_EXECUTE = re.compile(r"\bexecute\s+(?:format\s*\(\s*)?'\s*set\s+local\b")
# A call whose last argument says that the setting outlives the transaction.
_SETS_FOR_SESSION = re.compile(
    r"""
    \bset_config\s* \( (?: [^()'] | '(?:[^']|'')*' | \( (?: [^()] | \([^()]*\) )* \) )*
    ,\s* '?(?:f|false|n|no|off|0)'? \s* (?:::\s*\w+\s*)? \)
    """,
    re.VERBOSE,
)
_SETS_IN_BODY = re.compile(r"(?:\bbegin|\bthen|\belse|\bloop|;)\s*set\s+(?!local\b)")
_LEVEL = re.compile(r"\b(serializable|repeatable read|\w*transaction_isolation)\b")
_SESSION_LOCK = re.compile(r"pg_(try_)?advisory_lock")
_TEMPORARY = frozenset({"temp", "temporary"})

_LEXEME = re.compile(
    r"""
      --[^\n]*
    | (?P<comment>/\*)
    | \b[eE]'(?:[^'\\]|\\.|'')*'
    | '(?:[^']|'')*'
    | (?P<quoted>"(?:[^"]|"")*")
    | \$(?P<tag>[A-Za-z_]\w*)?\$ .*? \$(?(tag)(?P=tag))\$
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_MARK = re.compile(r"/\*|\*/")
_WORD = re.compile(r"[^\W\d][\w$]*")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_OPERATOR = re.compile(r"[-+*/<>=~!@#%^&|`?]+")
_FOR_UPDATE = re.compile(r"\bfor (no key )?update\b")


@dataclass(frozen=True)
class Effects:
    """What a statement, or several in one text, may do."""

    writes: bool = False
    """Rows, settings or savepoints: whether its transaction must be kept apart from others."""

    words: frozenset[str] = frozenset()
    """Every word and operator of a text that does not write by itself: a function may do it."""

    control: str = ""
    """The words by which it begins or ends a transaction."""

    two_phase: bool = False
    isolation: bool = False
    """It asks for an isolation level of the transaction."""

    read_only: bool = False
    """It makes its transaction a read-only one, and does nothing else."""

    declares: bool = False
    """It opens a cursor that lives as long as the transaction."""

    defines: bool = False
    """It may change the schema."""

    session: bool = False
    """It may change what outlives the transaction in its session: settings, locks, tables."""

    lasting: bool = False
    """It leaves in the session what no rollback undoes: a prepared statement, a library."""

    sets: bool = False
    """It may set something until the end of the transaction (``SET LOCAL``, ``set_config()``)."""

    def given(self, parameters: Any) -> Effects:
        """Return what it does with these parameters, by place or by name."""
        if not self.sets or not parameters or "set_config" not in self.words:
            return self
        values = parameters.values() if isinstance(parameters, Mapping) else parameters
        # set_config(%s, %s, %s) with a False: in doubt it is the last argument.
        if not any(value is False for value in values):
            return self
        return replace(self, writes=True, sets=False)


@lru_cache(maxsize=4096)
def effects_of(text: str) -> Effects:
    """Return what a text that is sent to the server may do."""
    bare = " ".join(_without_literals(text).lower().split())
    # The body of a function in standard SQL holds statements of its own.
    parts = [bare] if "begin atomic" in bare else bare.split(";")
    statements = [part.strip(" (") for part in parts]
    return _of_all([statement for statement in statements if statement], text.lower())


def function_sets(source: str) -> bool:
    """Return whether the body of a function may set something until the end of the transaction."""
    text = source.lower()
    return bool(_SETS_LOCALLY.search(text)) and not _SETS_FOR_SESSION.search(text)


def function_calls(source: str, names: Collection[str]) -> bool:
    """Return whether the body of a function in SQL or PL/pgSQL may call one of these."""
    return not _names(source.lower()).isdisjoint(names)


def function_writes(source: str, writers: Collection[str] = ()) -> bool:
    """Return whether the body of a function may write, or call one of these that do.

    :param source: in SQL or PL/pgSQL.
    """
    body = _SETS_BY_EXECUTE.sub("", source.lower())
    # INTO gives a value to a variable here.
    words = _names(body) - {"into"}
    if _SETS_IN_BODY.search(body) or _SETS_FOR_SESSION.search(body):
        return True
    return any(map(_is_writing, words)) or not words.isdisjoint({*_IN_A_FUNCTION, *writers})


def _of_all(statements: list[str], text: str) -> Effects:
    firsts = [_first(statement) for statement in statements]
    words = _names(" ".join(statements))
    control = next(filter(None, map(_control, statements)), "")
    read_only = len(statements) == 1 and _sets_read_only(statements[0])
    for_session = "set_config" in words and bool(_SETS_FOR_SESSION.search(text))
    # The block of a DO is a literal.
    setting = text if "do" in firsts else "; ".join(statements)
    return Effects(
        writes=not read_only and (for_session or any(map(_writes, statements))),
        words=words,
        control=control,
        two_phase=bool(_TWO_PHASE.match(control)),
        isolation=any(map(_chooses_isolation, statements)),
        read_only=read_only,
        declares="declare" in firsts,
        defines=bool(_DDL.intersection(firsts)),
        session=any(map(_changes_session, statements)),
        lasting=not control and not _LASTING.isdisjoint(firsts),
        sets=not for_session and bool(_SETS_LOCALLY.search(setting)),
    )


def _names(text: str) -> frozenset[str]:
    """Return what may be the name of a function, a view or an operator in a text in lower case."""
    names = set(_WORD.findall(text))
    names.update(quoted.replace('""', '"') for quoted in _QUOTED.findall(text))
    for operator in _OPERATOR.findall(text):
        # The driver wants a percent sign twice. A sign may follow an operator.
        names |= {operator, operator.replace("%%", "%"), operator.rstrip("+-")}
    return frozenset(names)


def _first(statement: str) -> str:
    return statement.partition(" ")[0]


def _writes(statement: str) -> bool:
    if statement.startswith("set local "):
        return False
    if _first(statement) not in _READING:
        return True
    return any(map(_is_writing, _WORD.findall(_FOR_UPDATE.sub("", statement))))


def _is_writing(word: str) -> bool:
    return word in _WRITING or word.startswith(_WRITING_PREFIXES)


def _control(statement: str) -> str:
    first, _, rest = statement.partition(" ")
    # A savepoint is gone back to by itself; PREPARE name is not about transactions.
    if first == "rollback" and re.match(r"((work|transaction) )?to\b", rest):
        return ""
    if first == "prepare" and not rest.startswith("transaction"):
        return ""
    if first not in _CONTROL:
        return ""
    return " ".join(statement.split()[:2]) if _TWO_PHASE.match(statement) else first


def _sets_read_only(statement: str) -> bool:
    return statement == "set transaction read only"


def _chooses_isolation(statement: str) -> bool:
    if _first(statement) not in {"set", "begin", "start"}:
        return False
    # READ COMMITTED is what there is.
    return bool(
        re.search(r"\b(serializable|repeatable read|\w*transaction_isolation)\b", statement)
    )


def _changes_session(statement: str) -> bool:
    first, _, rest = statement.partition(" ")
    if first == "set":
        return not rest.startswith(("local ", "transaction ", "constraints "))
    if first in _SESSION:
        return not rest.startswith("transaction")
    words = set(_WORD.findall(statement))
    if first in {"create", "select", "with"} and words & _TEMPORARY:
        return True
    if first == "declare" and "hold" in words:
        return True
    return "set_config" in words or any(map(_SESSION_LOCK.match, words))


def _without_literals(text: str) -> str:
    """The text with a space for each comment, and without what stands in quotation marks."""
    parts: list[str] = []
    position = 0
    while found := _LEXEME.search(text, position):
        parts.append(text[position : found.start()])
        parts.append(found["quoted"] or " ")
        position = _end_of_comment(text, found.end()) if found["comment"] else found.end()
    parts.append(text[position:])
    return "".join(parts)


def _end_of_comment(text: str, position: int) -> int:
    """Where a comment ends, with those that it contains."""
    depth = 1
    while depth and (mark := _COMMENT_MARK.search(text, position)):
        depth += 1 if mark[0] == "/*" else -1
        position = mark.end()
    return position if not depth else len(text)
