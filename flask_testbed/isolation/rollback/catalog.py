"""What a database holds that decides how its statements can be undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from .refusal import refusal

# Functions of the application's own that may write, and views that may call them; what an
# extension brings does not count.
_WRITERS = """
WITH writer AS (
    SELECT p.oid, p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.provolatile = 'v' AND p.oid >= 16384 AND n.nspname <> 'flask_testbed'
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
                        AND d.objid = p.oid AND d.deptype = 'e'))
SELECT proname FROM writer
UNION
SELECT c.relname FROM pg_depend d JOIN writer w ON w.oid = d.refobjid
JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class c ON c.oid = r.ev_class
WHERE d.refclassid = 'pg_proc'::regclass AND d.classid = 'pg_rewrite'::regclass
"""

_DEFERRABLE = """
SELECT format('%I.%I', n.nspname, c.conname), c.condeferred
FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace WHERE c.condeferrable
"""


@dataclass(frozen=True)
class Surroundings:
    """What rollback mode has to know of a database."""

    writers: frozenset[str] = frozenset()
    """What may write although it is only selected from."""

    deferrable: bool = False
    """Whether there are constraints that may be checked late."""

    deferred: tuple[str, ...] = ()
    """Those that are, unless something else is said."""

    @classmethod
    def of(cls, connection: psycopg.Connection[Any]) -> Surroundings:
        """Look at a database.

        :raises IsolationError: its transactions are of another isolation level from the start.
        """
        level = connection.execute("SHOW default_transaction_isolation").fetchone()
        if level != ("read committed",):
            raise refusal(f"The default isolation level is {level[0] if level else None!r}.")
        writers = connection.execute(_WRITERS).fetchall()
        constraints = connection.execute(_DEFERRABLE).fetchall()
        return cls(
            frozenset(name.lower() for (name,) in writers),
            bool(constraints),
            tuple(name for name, deferred in constraints if deferred),
        )
