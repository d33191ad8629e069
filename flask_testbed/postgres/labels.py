"""The mark that each of the engine's databases bears, and the names that only the engine uses."""

from __future__ import annotations

import getpass
import json
import os
import socket
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

#: Databases of this prefix are being made or done away with, or were when their maker died.
UNFINISHED = "flask_testbed_new_"

#: Templates: the prefix and a fingerprint of all that made them.
TEMPLATE = "flask_testbed_template_"

#: Snapshots: the prefix and a hash of what they are copies of, and of their names.
SNAPSHOT = "flask_testbed_snapshot_"

#: Where those meet who use a server without a database called ``postgres``.
MEETING = "flask_testbed_meeting"

_PREFIX = "flask-testbed: "


@dataclass(frozen=True)
class Mark:
    """What the engine writes on each of its databases (``COMMENT ON DATABASE``)."""

    kind: str
    """What the database is there for.

    ``template``; ``kept`` and ``left``, until somebody drops it; ``run``, as long as a run of
    pytest; ``snapshot``; ``development``; or ``meeting``, where locks are held.
    """

    fingerprint: str
    """Of the schema that is in it."""

    made_by: str
    made_at: str

    tables: int | None = None
    """How many, where that was counted."""

    of: str = ""
    """Of a snapshot: the database that it is a copy of."""

    label: str = ""
    """Of a snapshot: its name, as a person gave it."""

    def __str__(self) -> str:
        return _PREFIX + json.dumps(asdict(self))

    @classmethod
    def make(cls, kind: str, fingerprint: str, **more: Any) -> Mark:
        """A mark of this process, of now."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(kind, fingerprint, _whoami(), now, **more)

    @classmethod
    def read(cls, comment: str | None) -> Mark | None:
        """The mark in a comment, or ``None`` if it is somebody else's comment, or none."""
        if comment is None or not comment.startswith(_PREFIX):
            return None
        try:
            return cls(**json.loads(comment.removeprefix(_PREFIX)))
        except (ValueError, TypeError):
            return None


@dataclass(frozen=True)
class Found:
    """A database that exists."""

    name: str
    owner: str
    mark: Mark | None
    connections: int


def _whoami() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}, process {os.getpid()}"
