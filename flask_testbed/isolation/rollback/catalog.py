"""What a database holds that decides how its statements can be undone."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..statements import Effects, function_calls, function_sets, function_writes
from .local_settings import names_in, parse, read
from .refusal import refusal

#: Sends a query, and returns its rows.
Query = Callable[[str], list[Any]]

# The functions that are volatile, or whose source can be read, with that source; and whatever calls
# one of them without naming it in a statement: aggregates, operators, casts, domains, and views and
# policies on tables. Each row has the name of an object and the function that it calls. Volatile
# functions of a few extensions are known to write nothing.
_FUNCTIONS = r"""
WITH RECURSIVE function AS (
    SELECT p.oid, p.proname,
        p.provolatile = 'v' AND NOT EXISTS (
            SELECT FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid
            WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
            AND x.extname IN ('pgcrypto', 'uuid-ossp', 'tablefunc', 'pg_trgm', 'unaccent',
                'sslinfo', 'pg_stat_statements')
        ) AS writes,
        CASE WHEN l.lanname NOT IN ('sql', 'plpgsql') THEN ''
            -- BEGIN ATOMIC
            WHEN p.prosrc = '' THEN pg_get_function_sqlbody(p.oid) ELSE p.prosrc END AS source
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_language l ON l.oid = p.prolang
    WHERE p.oid >= 16384 AND p.prokind <> 'a' AND n.nspname <> 'flask_testbed'
), step AS (
    SELECT refclassid, refobjid, classid, objid FROM pg_depend
    WHERE objid >= 16384 AND deptype <> 'e' AND classid IN ('pg_proc'::regclass,
        'pg_operator'::regclass, 'pg_cast'::regclass, 'pg_rewrite'::regclass,
        'pg_policy'::regclass, 'pg_constraint'::regclass)
    UNION SELECT 'pg_rewrite'::regclass, oid, 'pg_class'::regclass, ev_class FROM pg_rewrite
    UNION SELECT 'pg_policy'::regclass, oid, 'pg_class'::regclass, polrelid FROM pg_policy
    UNION SELECT 'pg_constraint'::regclass, oid, 'pg_type'::regclass, contypid FROM pg_constraint
    WHERE contypid <> 0
    UNION SELECT 'pg_cast'::regclass, oid, 'pg_type'::regclass, casttarget FROM pg_cast
), calls (function, classid, objid) AS (
    SELECT oid, 'pg_proc'::regclass::oid, oid FROM function WHERE writes OR source <> ''
    UNION
    SELECT c.function, s.classid, s.objid FROM calls c
    JOIN step s ON (s.refclassid, s.refobjid) = (c.classid, c.objid)
    WHERE c.classid <> 'pg_type'::regclass
)
SELECT proname, oid, writes, source FROM function WHERE writes OR source <> ''
UNION ALL
SELECT coalesce(p.proname, o.oprname, r.relname, t.typname), f.oid, f.writes, ''
FROM calls c JOIN function f ON f.oid = c.function
LEFT JOIN pg_proc p ON c.classid = 'pg_proc'::regclass AND p.oid = c.objid AND p.oid <> f.oid
LEFT JOIN pg_operator o ON c.classid = 'pg_operator'::regclass AND o.oid = c.objid
LEFT JOIN pg_class r ON c.classid = 'pg_class'::regclass AND r.oid = c.objid
LEFT JOIN pg_type t ON c.classid = 'pg_type'::regclass AND t.oid = c.objid
WHERE coalesce(p.proname, o.oprname, r.relname, t.typname) IS NOT NULL
"""

_DEFERRABLE = """
SELECT format('%I.%I', n.nspname, c.conname), c.condeferred
FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace WHERE c.condeferrable
"""


@dataclass(frozen=True)
class Catalog:
    """What rollback mode has to know of a database."""

    writers: frozenset[str] = frozenset()
    """Names of what may write although it is only read or called: functions, operators, views."""

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
        setters = _setters(functions)
        constraints = query(_DEFERRABLE)
        return cls(
            _writers(functions),
            _names(setters),
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
    """A function, or something that calls it."""

    name: str
    oid: int
    volatile: bool
    source: str

    def may_write(self, writers: Collection[str]) -> bool:
        """Return whether its source may write, or call one of these that do."""
        # The server lets a function write only if it is volatile.
        writes = function_writes if self.volatile else function_calls
        return writes(self.source, writers)


def _writers(functions: list[_Function]) -> frozenset[str]:
    """Return the names of those that may do more than to read, and to set something locally."""
    unreadable = {one.oid for one in functions if one.volatile} - {
        one.oid for one in functions if one.source
    }
    return _names(_closed(functions, unreadable, _Function.may_write))


def _setters(functions: list[_Function]) -> list[_Function]:
    """Return those that may set something until the end of the transaction."""
    setting = {one.oid for one in functions if function_sets(one.source)}
    return _closed(functions, setting, lambda one, names: function_calls(one.source, names))


def _closed(
    functions: list[_Function],
    oids: set[int],
    belongs: Callable[[_Function, Collection[str]], bool],
) -> list[_Function]:
    """Return the functions that belong to some, as long as that makes others belong to them.

    :param belongs: whether a function does, given the names of those that do.
    """
    while True:
        chosen = [one for one in functions if one.oid in oids]
        names = _names(chosen)
        found = {one.oid for one in functions if one.source and belongs(one, names)}
        if found <= oids:
            return chosen
        oids = oids | found


def _names(functions: list[_Function]) -> frozenset[str]:
    return frozenset(one.name for one in functions)


def _settings(setters: list[_Function], query: Query) -> frozenset[str]:
    """Return the settings that functions name. One with a dot may not be there yet."""
    words = frozenset[str]().union(*(names_in(one.source) for one in setters))
    ((answer,),) = query(read(words))
    return frozenset(
        name for name, value in parse(answer).items() if "." in name or value is not None
    )
