"""Which databases may be destroyed: the rules that need no connection.

A database may be dropped, reset or overwritten only if all of these rules allow it, and if
:meth:`.Cluster.check_label` finds the testbed's label on it or a person has confirmed.
"""

from __future__ import annotations

from ..errors import RefusedError
from ..postgres.addresses import is_same_database
from .target import DISPOSABLE, Target

#: Databases that every server has.
SYSTEM = {"postgres", "template0", "template1"}

_WAY_OUT = (
    "Point TEST_DATABASE_URL at a database of its own whose name ends in '_test';"
    " it need not exist."
)


def check_target(target: Target, name: str | None = None) -> None:
    """Refuse a database that must not be destroyed, by its name and address alone.

    :param name: name of one of the target's databases; by default the target's own.
    :raises RefusedError: names the database, the rule and the way out.
    """
    name = target.name if name is None else name
    if target.production:
        raise RefusedError(
            f"Refused: {name!r} is not touched, because the application runs in production"
            " configuration, where no database is made, reset or dropped. Run this with"
            " APP_ENV=development, or without FLASK_ENV=production."
        )
    if name in SYSTEM:
        raise RefusedError(f"Refused: {name!r} is a database of the server's own. {_WAY_OUT}")
    if target.own is not None and is_same_database(target.url.set(database=name), target.own):
        raise RefusedError(
            f"Refused: {name!r} is the application's own database (SQLALCHEMY_DATABASE_URI)."
            f" {_WAY_OUT}"
        )
    if not DISPOSABLE.fullmatch(name):
        raise RefusedError(
            f"Refused: the name of {name!r} ({target.source}) does not end in '_test'. {_WAY_OUT}"
        )
