"""A PostgreSQL server that pip installs. It starts at first use and stops after its last user.

May import :mod:`flask_testbed.errors` and nothing else of the testbed. Begin with :mod:`.server`,
which the other packages use; :mod:`.keeper` is the process that starts and stops PostgreSQL.
"""

from __future__ import annotations

from .server import EmbeddedServer

__all__ = ["EmbeddedServer"]
