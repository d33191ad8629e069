"""Who uses a database: a run of the tests, which holds its lock, or somebody who is connected."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import RefusedError
from .cluster import Cluster, Found


def hold(cluster: Cluster, name: str) -> None:
    """Hold a database against test runs and other commands, until the connection ends.

    :raises RefusedError: one of them holds it.
    """
    if not cluster.try_lock(name):
        raise RefusedError(f"Refused: a test run is using the database {name!r}. Let it end first.")


@contextmanager
def held(cluster: Cluster, name: str) -> Iterator[None]:
    """Hold a database meanwhile. Raises as :func:`hold`."""
    hold(cluster, name)
    try:
        yield
    finally:
        cluster.unlock(name)


def check_unused(cluster: Cluster, found: Found, *, force: bool = False) -> None:
    """Refuse a database to which somebody is connected.

    :param force: their connections may be ended.
    :raises RefusedError: says who they are, from where, and since when.
    """
    users = cluster.users(found.name)
    if users and not force:
        raise RefusedError(
            f"Refused: the database {found.name!r} is in use by {'; '.join(users)}."
            " Let them disconnect, or end them with --force."
        )
