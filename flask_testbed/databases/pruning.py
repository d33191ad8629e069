"""Drop what is not needed: leftovers of dead runs, old templates, servers without a project."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from ..application.target import DISPOSABLE
from ..clock import utc_now
from ..postgres.cluster import Cluster
from ..postgres.database import Database
from ..postgres.labels import TEMPLATE, Kind

#: Number of templates that stay beside the newest.
KEEP = 5

#: Days for which a template of another schema stays.
DAYS = 14


@dataclass(frozen=True)
class Pruned:
    """A database or an embedded server that was dropped."""

    name: str
    kind: str
    made_by: str
    made_at: str


def prune(
    cluster: Cluster, *, current: str = "", keep: int = KEEP, days: float = DAYS
) -> list[Pruned]:
    """Drop leftovers and old templates, unless they are in use or belong to another role.

    :param current: name of the template of the application's schema.
    :param keep: number of other templates that stay, the newest ones.
    :param days: days for which they stay.
    :returns: what was dropped: databases sorted by name, then servers.
    """
    dropped = cluster.drop_unfinished()
    # A run holds the lock on its database until its end. Without that lock, the run has died.
    runs = [one for one in cluster.find_kind(Kind.RUN) if DISPOSABLE.fullmatch(one.name)]
    dropped += [one for one in runs if cluster.drop_if_unused(one)]
    dropped += prune_templates(cluster, current, keep=keep, days=days)
    homes = cluster.embedded.drop_leftovers() if cluster.embedded is not None else []
    return [
        *(_pruned(one) for one in sorted(dropped, key=lambda one: one.name)),
        *(Pruned(str(home), "server without a project", "", "") for home in homes),
    ]


def prune_templates(
    cluster: Cluster, current: str, *, keep: int = KEEP, days: float = DAYS
) -> list[Database]:
    """Drop templates by age and number. Parameters are those of :func:`prune`."""
    found = [one for one in cluster.find_all(TEMPLATE + ".*") if one.kind == Kind.TEMPLATE]
    if cluster.embedded is None:
        # On an external server the last user drops a template: an unused one is a leftover.
        current, keep = "", 0
    others = [one for one in found if one.name != current]
    others.sort(key=lambda one: one.made_at, reverse=True)
    oldest = (utc_now() - timedelta(days=days)).isoformat()
    old = [one for rank, one in enumerate(others) if rank >= keep or one.made_at < oldest]
    return [one for one in old if cluster.drop_if_unused(one)]


def _pruned(database: Database) -> Pruned:
    if database.kind == "unfinished":
        # It may have no label yet.
        return Pruned(database.name, database.kind, database.owner, "")
    return Pruned(database.name, database.kind, database.made_by, database.made_at)
