"""The names of a run's databases: which name is free, and which database may be replaced."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from ..application.guards import check_target
from ..application.target import NAMES_OF_RUNS, Target
from ..postgres.cluster import Cluster
from ..postgres.database import Database
from ..postgres.labels import DISPOSABLE_KINDS, TEMPLATE, Kind


@dataclass(frozen=True)
class Keeping:
    """Which databases outlive the process."""

    reuse: bool = False
    """Use the database of an earlier run, if its schema is current, and keep it again."""

    anew: bool = False
    """With ``reuse``: create the database anew in any case."""

    keep: bool = False
    """Keep the database when the process ends."""


def name_of(target: str, worker: str, number: int = 1) -> str:
    """Return the name of a run's database: the number is 1 if that name is free."""
    parts = [target]
    parts += [str(number)] if number > 1 else []
    parts += [worker] if worker else []
    return "_".join(parts)


@dataclass(frozen=True)
class Claims:
    """Takes names of databases for one process. A process that holds the lock on a name has it.

    :param cluster: the server.
    :param target: the target whose name all names begin with.
    :param worker: name of the worker of pytest-xdist (``gw0``), empty in a run of one process.
    :param keeping: which databases outlive the process.
    """

    cluster: Cluster
    target: Target
    worker: str
    keeping: Keeping

    def check(self) -> None:
        """Refuse the target if a database of its name exists that the testbed has not created.

        The databases of workers are refused with it. One that the testbed has created for another
        role is left alone: this run takes another name.

        :raises RefusedError: the message names the database, its owner and the way out.
        """
        found = self.cluster.find(self.target.name)
        if found is not None and not found.of_another_role:
            self.cluster.check_label(found, DISPOSABLE_KINDS)

    def drop_leftovers(self) -> None:
        """Drop the databases of runs that were killed."""
        self.cluster.drop_unfinished()
        leftovers = [
            found
            for found in self.cluster.find_all(re.escape(self.target.name) + NAMES_OF_RUNS)
            if found.label is not None and found.label.kind == Kind.RUN
        ]
        if not self.target.embedded:
            # The last user of a template drops it there. One without users is a leftover.
            leftovers += self.cluster.find_all(TEMPLATE + ".*")
        for found in leftovers:
            self.cluster.drop_if_unused(found)

    def take(self, fingerprint: str) -> tuple[str, bool]:
        """Take the first name that is free.

        :param fingerprint: fingerprint of the template.
        :returns: the name, and whether a database of that name exists that is to be used.
        """
        for name in map(self._name, itertools.count(1)):
            if not self.cluster.locks.try_lock(name):
                continue
            found = self.cluster.find(name)
            if found is not None and self._is_wanted(found, fingerprint):
                check_target(self.target, name)
                self.cluster.check_not_protected(found)
                return name, True
            if self._is_free(name, found, any_kind=self.keeping.reuse):
                return name, False
            self.cluster.locks.unlock(name)
        raise AssertionError("unreachable: the numbers do not end")

    def take_another(self) -> str:
        """Take the first free name for a further database of this process."""
        for name in map(self._name, itertools.count(2)):
            # A process that holds a lock could take it again, but its own names are not free.
            if not self.cluster.locks.is_locked(name) and self.cluster.locks.try_lock(name):
                if self._is_free(name, self.cluster.find(name)):
                    return name
                self.cluster.locks.unlock(name)
        raise AssertionError("unreachable: the numbers do not end")

    def _name(self, number: int) -> str:
        return name_of(self.target.name, self.worker, number)

    def _is_wanted(self, found: Database, fingerprint: str) -> bool:
        wanted = self.keeping.reuse and not self.keeping.anew
        return wanted and found.kind in DISPOSABLE_KINDS and found.fingerprint == fingerprint

    def _is_free(self, name: str, found: Database | None, *, any_kind: bool = False) -> bool:
        """Return whether a name is free, and drop the database of that name if it is a leftover.

        The database of a run is a leftover if its lock is free and no connection to it is open. A
        database that a command has created stays until a command drops it.
        """
        if found is not None:
            kinds = DISPOSABLE_KINDS if any_kind else {Kind.RUN, Kind.LEFT}
            if found.kind not in kinds or found.connections:
                return False
        check_target(self.target, name)
        if found is not None:
            self.cluster.check_not_protected(found)
            self.cluster.drop(name)
        return True
