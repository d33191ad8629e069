"""The names of a run's databases: which one is free, and what may be replaced."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from ..application.guards import check_target
from ..application.target import NAMES_OF_RUNS, Target
from ..postgres.cluster import Cluster
from ..postgres.database import Database
from ..postgres.labels import TEMPLATE, Kind


@dataclass(frozen=True)
class Keeping:
    """What outlives the process."""

    reuse: bool = False
    """Take the database that an earlier run has kept, if its schema is current; keep it again."""

    anew: bool = False
    """With ``reuse``: make it anew all the same."""

    keep: bool = False
    """Leave the database when the process ends."""


@dataclass(frozen=True)
class Claims:
    """Takes names for one process. A name is taken by its lock.

    :param cluster: the server.
    :param target: says what the names begin with.
    :param worker: of pytest-xdist (``gw0``), empty in a run of one process.
    :param keeping: what outlives the process.
    """

    cluster: Cluster
    target: Target
    worker: str
    keeping: Keeping

    def check(self) -> None:
        """Refuse the whole target, its workers' databases too, if its name is somebody else's.

        :raises RefusedError: names the database, its owner and the way out.
        """
        found = self.cluster.find(self.target.name)
        if found is not None:
            self.cluster.check_label(found)

    def drop_leftovers(self) -> None:
        """Drop what runs have left that were killed."""
        self.cluster.drop_unfinished()
        dead = [
            found
            for found in self.cluster.find_all(re.escape(self.target.name) + NAMES_OF_RUNS)
            if found.label is not None and found.label.kind == Kind.RUN
        ]
        if not self.target.embedded:
            # There a template is dropped by its last user, so a free one had none to do it.
            dead += self.cluster.find_all(TEMPLATE + ".*")
        for found in dead:
            self.cluster.drop_if_unused(found)

    def take(self, fingerprint: str) -> tuple[str, bool]:
        """Take the first name that is free.

        :param fingerprint: of the current schema.
        :returns: the name, and whether there is a database under it that is to be used.
        """
        for name in map(self._name, itertools.count(1)):
            if not self.cluster.locks.try_lock(name):
                continue
            found = self.cluster.find(name)
            if found is not None and self._is_wanted(found, fingerprint):
                check_target(self.target, name)
                return name, True
            if self._is_free(name, found, any_kind=self.keeping.reuse):
                return name, False
            self.cluster.locks.unlock(name)
        raise AssertionError("unreachable: the numbers do not end")

    def take_another(self) -> str:
        """Take the first name that is free for a database beside the one of the run."""
        for name in map(self._name, itertools.count(2)):
            # Who holds a lock gets it again: one's own names are not free either.
            if not self.cluster.locks.is_locked(name) and self.cluster.locks.try_lock(name):
                if self._is_free(name, self.cluster.find(name)):
                    return name
                self.cluster.locks.unlock(name)
        raise AssertionError("unreachable: the numbers do not end")

    def _name(self, number: int) -> str:
        parts = [self.target.name]
        parts += [str(number)] if number > 1 else []
        parts += [self.worker] if self.worker else []
        return "_".join(parts)

    def _is_wanted(self, found: Database, fingerprint: str) -> bool:
        wanted = self.keeping.reuse and not self.keeping.anew
        return wanted and found.label is not None and found.label.fingerprint == fingerprint

    def _is_free(self, name: str, found: Database | None, *, any_kind: bool = False) -> bool:
        """Whether a name can be had. Drops what is there, if that may be replaced.

        What a command has made stays until a command drops it. What a run has made is a
        leftover, since its lock is free; unless somebody still looks at it.
        """
        if found is not None:
            if found.label is None or found.connections:
                return False
            if found.label.kind not in {Kind.RUN, Kind.LEFT} and not any_kind:
                return False
        check_target(self.target, name)
        if found is not None:
            self.cluster.drop(name)
        return True
