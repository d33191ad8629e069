"""Which databases may be destroyed: the rules that need no connection.

A database may be dropped, reset or overwritten only if all of these rules allow it, if
:meth:`.Inventory.check_label` finds the testbed's label on it or a person has confirmed, and if it
is none of the application's own, by whatever address that is known.
"""

from __future__ import annotations

from ..errors import RefusedError
from ..postgres.addresses import is_same_database
from .target import DISPOSABLE, NOT_PRODUCTION, Target

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
        raise in_production(target.production, f"{name!r} is not touched")
    if name in SYSTEM:
        raise RefusedError(f"Refused: {name!r} is a database of the server's own. {_WAY_OUT}")
    # The embedded test server has none of the application's own databases.
    if not target.embedded and any(
        is_same_database(target.url.set(database=name), own) for own in target.own
    ):
        raise RefusedError(
            f"Refused: {name!r} is the application's own database (SQLALCHEMY_DATABASE_URI)."
            f" {_WAY_OUT}"
        )
    if not DISPOSABLE.fullmatch(name):
        raise RefusedError(
            f"Refused: the name of {name!r} ({target.source}) does not end in '_test'. {_WAY_OUT}"
        )


def in_production(setting: str, refused: str) -> RefusedError:
    """Return the error for what is not done in production.

    :param setting: from which production follows, as :func:`.find_production` returns it.
    :param refused: the main clause: "no table is emptied".
    """
    return RefusedError(
        f"Refused: {refused}, because the application runs in production configuration"
        f" ({setting}), where no database is made, reset or dropped. If this is not production,"
        f" use one of these names: {', '.join(NOT_PRODUCTION)}. For example, APP_ENV=development."
    )
