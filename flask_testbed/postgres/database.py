"""A database that exists on a server."""

from __future__ import annotations

from dataclasses import dataclass

from .labels import UNFINISHED, Label


@dataclass(frozen=True)
class Database:
    """A database as it was found on a server."""

    name: str

    owner: str
    """The role that owns it."""

    label: Label | None
    """Its label, or None if the testbed has not created it."""

    connections: int
    """Number of connections to it."""

    size: int | None = None
    """Bytes, or None if that was not asked for or the role may not connect to it."""

    in_use: bool = False
    """Whether a run or a command holds its lock, if that was asked for."""

    current: bool | None = None
    """Whether its schema is the application's, or None if that is not known."""

    @property
    def kind(self) -> str:
        """The kind in its label, ``unfinished``, or ``foreign`` without a label."""
        if self.name.startswith(UNFINISHED):
            return "unfinished"
        return str(self.label.kind) if self.label else "foreign"

    @property
    def made_by(self) -> str:
        """Who created it: from its label, else its owner."""
        return self.label.made_by if self.label else self.owner

    @property
    def made_at(self) -> str:
        """When it was created, in ISO 8601, or an empty text without a label."""
        return self.label.made_at if self.label else ""

    @property
    def fingerprint(self) -> str:
        """Fingerprint of its schema, or an empty text without a label."""
        return self.label.fingerprint if self.label else ""
