"""Engines that an application made for itself, outside Flask-SQLAlchemy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from sqlalchemy import event
from sqlalchemy.engine import URL, Engine

from ..errors import SettingsError
from ..postgres.addresses import is_same_place
from ..postgres.connecting import connect_parameters
from .databases import AppDatabase
from .routes import ROUTED, Route

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect


class Strays:
    """Engines that an application makes for itself, for its own database.

    While it listens, they are led to where the application's route leads.
    """

    def __init__(self) -> None:
        self.databases: WeakSet[AppDatabase] = WeakSet()

    def listen(self) -> None:
        """Begin, for every engine of the process."""
        if self not in _listening:
            _listening.append(self)
        if not event.contains(Engine, "do_connect", _lead_strays):
            event.listen(Engine, "do_connect", _lead_strays)

    def ignore(self) -> None:
        """End."""
        if self in _listening:
            _listening.remove(self)

    def lead(self, dialect: Dialect, parameters: dict[str, Any]) -> Any:
        """As :meth:`Route.lead`, if the connection is for one of the applications' own."""
        if hasattr(dialect, ROUTED) or dialect.name != "postgresql":
            return None
        # psycopg 2 and 3 say dbname, others database.
        place = {"dbname": parameters.get("database"), **parameters}
        for database in [one for one in self.databases if one.is_alive]:
            for url in (database.own_url, database.configured):
                if is_same_place(place, connect_parameters(url)):
                    return _lead_to(database.route, url, dialect, parameters)
        return None


#: Those that listen. SQLAlchemy's own list of listeners must not change while an engine connects,
#: which is when a database may be made, so one listener is there for all of them, and stays.
_listening: list[Strays] = []


def _lead_strays(dialect: Dialect, record: Any, arguments: Any, parameters: dict[str, Any]) -> Any:
    """Let the first that knows where to connect say so."""
    connections = (strays.lead(dialect, parameters) for strays in list(_listening))
    return next((one for one in connections if one is not None), None)


def _lead_to(route: Route, url: URL, dialect: Dialect, parameters: dict[str, Any]) -> Any:
    if route.leads and dialect.driver != "psycopg":
        raise SettingsError(
            f"An engine for the application's own database uses the driver {dialect.driver!r};"
            " the testbed supports psycopg 3 alone. Write its URL as"
            " postgresql+psycopg://user:password@host:5432/name."
        )
    return route.lead(parameters, url)
