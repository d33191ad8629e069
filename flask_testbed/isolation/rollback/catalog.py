"""What a database holds that decides how its statements can be undone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..statements import Effects, function_sets, function_writes
from .local_settings import names_in, parse, read
from .refusal import refusal

#: Sends a query, and returns its rows.
Query = Callable[[str], list[Any]]

# Functions that may write, and views on them; those of an extension do not count. And the source of
# functions that may set something until the end of the transaction.
_FUNCTIONS = r"""
WITH function AS (
    SELECT p.oid, p.proname,
        p.provolatile = 'v' AND NOT EXISTS (
            SELECT FROM pg_depend d
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        ) AS writes,
        CASE WHEN l.lanname NOT IN ('sql', 'plpgsql') THEN ''
            -- BEGIN ATOMIC
            WHEN p.prosrc = '' THEN pg_get_functiondef(p.oid) ELSE p.prosrc END AS source
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_language l ON l.oid = p.prolang
    WHERE p.oid >= 16384 AND n.nspname <> 'flask_testbed')
SELECT proname, oid, writes, CASE WHEN source ~* 'set_config|set\s+local' THEN source ELSE '' END
FROM function
UNION ALL
SELECT DISTINCT c.relname, f.oid, true, '' FROM pg_depend d JOIN function f ON f.oid = d.refobjid
JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class c ON c.oid = r.ev_class
WHERE d.refclassid = 'pg_proc'::regclass AND d.classid = 'pg_rewrite'::regclass AND f.writes
"""

_DEFERRABLE = """
SELECT format('%I.%I', n.nspname, c.conname), c.condeferred
FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace WHERE c.condeferrable
"""


@dataclass(frozen=True)
class Catalog:
    """What rollback mode has to know of a database."""

    writers: frozenset[str] = frozenset()
    """Names of functions and views that may write although they are only selected from."""

    setters: frozenset[str] = frozenset()
    """Names of functions that may set something until the end of the transaction."""

    settings: frozenset[str] = frozenset()
    """Names of settings that occur in those functions."""

    deferrable: bool = False
    """Whether there are constraints that may be checked late."""

    deferred: tuple[str, ...] = ()
    """Constraints that are INITIALLY DEFERRED, quoted."""

    @classmethod
    def read(cls, query: Query) -> Catalog:
        """Look at a database.

        :raises IsolationError: its default isolation level is not READ COMMITTED.
        """
        ((level,),) = query("SHOW default_transaction_isolation")
        if level != "read committed":
            raise refusal(f"The default isolation level is {level!r}.")
        functions = [_Function(name.lower(), *row) for name, *row in query(_FUNCTIONS)]
        setters = [one for one in functions if function_sets(one.source)]
        constraints = query(_DEFERRABLE)
        return cls(
            _writers(functions),
            frozenset(one.name for one in setters),
            _settings(setters, query) if setters else frozenset(),
            bool(constraints),
            tuple(name for name, deferred in constraints if deferred),
        )

    def writes(self, effects: Effects) -> bool:
        """Whether a statement may write, by itself or by a function that it calls."""
        return effects.writes or not self.writers.isdisjoint(effects.words)

    def calls_setter(self, effects: Effects) -> bool:
        """Whether a statement calls a function that may set something locally."""
        return not self.setters.isdisjoint(effects.words)


class _Function(NamedTuple):
    """A function, or a view on one."""

    name: str
    oid: int
    volatile: bool
    source: str


def _writers(functions: list[_Function]) -> frozenset[str]:
    """Return the names of those that may do more than to set something."""
    harmless = {one.oid for one in functions if function_sets(one.source)}
    while True:
        writers = frozenset(
            one.name for one in functions if one.volatile and one.oid not in harmless
        )
        found = {one.oid for one in functions if function_writes(one.source, writers)}
        if harmless.isdisjoint(found):
            return writers
        harmless -= found


def _settings(setters: list[_Function], query: Query) -> frozenset[str]:
    """Return the settings that functions name. One with a dot may not be there yet."""
    words = frozenset[str]().union(*(names_in(one.source) for one in setters))
    ((answer,),) = query(read(words))
    return frozenset(
        name for name, value in parse(answer).items() if "." in name or value is not None
    )
