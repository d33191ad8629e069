"""A PostgreSQL server that pip installs: started at first use, stopped with its last user.

Imports :mod:`flask_testbed.errors` alone. Begin with :mod:`.server`, the server as it is used;
:mod:`.keeper` is the small process that starts PostgreSQL and stops it.
"""

from __future__ import annotations

from .server import EmbeddedServer

__all__ = ["EmbeddedServer"]
