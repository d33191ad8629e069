"""The label on each database that the testbed has created, and the names reserved for them."""

from __future__ import annotations

import getpass
import json
import os
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from socket import gethostname
from typing import Any

from ..clock import utc_now

#: Prefix of the names that only the testbed gives to a database.
RESERVED = "flask_testbed_"

#: Prefix of a database that is being created or dropped, or was when that process died.
UNFINISHED = f"{RESERVED}new_"

#: Prefix of a template, before its fingerprint.
TEMPLATE = f"{RESERVED}template_"

#: Prefix of a snapshot, before a hash of its source's name and of its own.
SNAPSHOT = f"{RESERVED}snapshot_"

#: What the comments begin with that are labels.
PREFIX = "flask-testbed: "

#: Number of the labels' format, which a template's fingerprint contains.
FORMAT = 2


class Kind(StrEnum):
    """What a database is for."""

    TEMPLATE = "template"
    """Test databases are clones of it. It accepts no connections."""

    RUN = "run"
    """It lasts as long as a run of pytest."""

    LEFT = "left"
    """A run was told to leave it (``--keep-db``, ``--keep-failed-db``)."""

    KEPT = "kept"
    """It stays until it is dropped by a command (``test-db create``, ``--reuse-db``)."""

    SNAPSHOT = "snapshot"
    """A named copy of another database. It accepts no connections."""

    DEVELOPMENT = "development"
    """The application's own database on its embedded server."""


#: Kinds of databases that are only cloned: a connection would forbid that.
CLOSED = {Kind.TEMPLATE, Kind.SNAPSHOT}

#: Kinds of test databases, which are dropped and reset without a question.
DISPOSABLE_KINDS = {Kind.RUN, Kind.LEFT, Kind.KEPT}


@dataclass(frozen=True)
class Label:
    """The label on a database, which is stored with ``COMMENT ON DATABASE``.

    Any role may write a comment on a database of its own, ``ALTER DATABASE … RENAME`` keeps it,
    and ``pg_dump -C`` carries it to another server. So a label counts only on a database of the
    current role, whose name and oid it holds (:meth:`.Database.found`).
    """

    kind: Kind

    fingerprint: str
    """Fingerprint of the schema."""

    made_by: str
    """User, host and process that created the database."""

    made_at: str
    """When the database was created, in ISO 8601 and UTC."""

    tables: int | None = None
    """Number of tables, or None if they were not counted."""

    of: str = ""
    """Name of the database that a snapshot is a copy of."""

    title: str = ""
    """Name of a snapshot, or the test whose failure a database shows. ``label`` in JSON."""

    database: str = ""
    """Name of the database that it was written on; empty in a label of an earlier version."""

    oid: int = 0
    """The oid of that database."""

    def __str__(self) -> str:
        """Return the text of the comment."""
        fields = asdict(self)
        fields["label"] = fields.pop("title")
        return PREFIX + json.dumps(fields)

    @classmethod
    def create(cls, kind: Kind, fingerprint: str, **more: Any) -> Label:
        """Return a label that names this process and the present time."""
        now = utc_now().isoformat(timespec="seconds")
        return cls(kind, fingerprint, _this_process(), now, **more)

    def written_on(self, database: str, oid: int) -> Label:
        """Return the label as it is written on a database."""
        return replace(self, database=database, oid=oid)

    @classmethod
    def read(cls, comment: str | None) -> Label | None:
        """Return the label in a comment, or None if the comment is not a label."""
        if comment is None or not comment.startswith(PREFIX):
            return None
        try:
            fields = json.loads(comment.removeprefix(PREFIX))
            title = fields.pop("label", "")
            return cls(**fields | {"kind": Kind(fields["kind"]), "title": title})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None


def _this_process() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{gethostname()}, process {os.getpid()}"
