"""What nobody needs any more: leftovers of dead runs, old templates, servers without a project."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ..postgres.cluster import TEMPLATE, UNFINISHED, Cluster, Found

#: How many templates stay beside the newest.
KEEP = 5

#: Days for which a template of another schema stays.
DAYS = 14


@dataclass(frozen=True)
class Pruned:
    """A database that was dropped, or a server."""

    name: str
    kind: str
    made_by: str
    made_at: str


def prune(
    cluster: Cluster, *, current: str = "", keep: int = KEEP, days: float = DAYS
) -> list[Pruned]:
    """Drop what nobody needs. Whatever is locked or connected to stays, as does what is another's.

    :param current: the name of the template that the schema of now has.
    :param keep: how many others stay, the newest ones.
    :param days: for how long they stay.
    :returns: what was dropped, sorted by name.
    """
    dropped = cluster.drop_unfinished()
    # A run holds the lock on its database as long as it lives: one without is a dead run's.
    runs = cluster.find_marked("run")
    dropped += [found for found in runs if cluster.drop_if_free(found)]
    dropped += prune_templates(cluster, current, keep=keep, days=days)
    abandoned = cluster.server.drop_leftovers() if cluster.server is not None else []
    return [_pruned(found) for found in sorted(dropped, key=lambda found: found.name)] + [
        Pruned(str(home), "server without a project", "", "") for home in abandoned
    ]


def _pruned(found: Found) -> Pruned:
    mark = found.mark
    if mark is None or found.name.startswith(UNFINISHED):
        return Pruned(found.name, "unfinished", found.owner, "")
    return Pruned(found.name, mark.kind, mark.made_by, mark.made_at)


def prune_templates(
    cluster: Cluster, current: str, *, keep: int = KEEP, days: float = DAYS
) -> list[Found]:
    """Drop templates by age and number. Parameters as in :func:`prune`."""
    found = cluster.find_all(TEMPLATE + ".*")
    stays = keep
    if cluster.server is None:
        # On a server of somebody else's the last user drops a template: a free one is a leftover.
        current, stays = "", 0
    others = sorted((one for one in found if one.name != current), key=_made_at, reverse=True)
    oldest = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    doomed = [one for rank, one in enumerate(others) if rank >= stays or _made_at(one) < oldest]
    return [one for one in doomed if one.mark and cluster.drop_if_free(one)]


def _made_at(found: Found) -> str:
    return found.mark.made_at if found.mark else ""
