"""A database that exists on a server, and whether its label counts."""

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
    """Its label, or None if it has none that counts."""

    connections: int
    """Number of connections to it."""

    oid: int = 0
    """The number that identifies it on its server, whatever its name is."""

    foreign: str = ""
    """Why it has no label that counts, as the end of a sentence."""

    of_another_role: bool = False
    """Whether its label would count for the role that owns it."""

    size: int | None = None
    """Bytes, or None if that was not asked for or the role may not connect to it."""

    in_use: bool = False
    """Whether a run or a command holds its lock, if that was asked for."""

    current: bool | None = None
    """Whether its schema is the application's, or None if that is not known."""

    @classmethod
    def found(
        cls, name: str, oid: int, owner: str, comment: str | None, connections: int, role: str
    ) -> Database:
        """Return a database with its label, if that counts for a role.

        It counts if the role owns the database, and if it was written on this very database.
        """
        label = Label.read(comment)
        if label is None:
            foreign = f"was not made by flask-testbed (its owner is {owner!r})"
        elif not label.database:
            foreign = "was made by an earlier version of flask-testbed, whose labels do not count"
        elif (label.database, label.oid) != (name, oid):
            foreign = (
                f"has the label of the database {label.database!r}, from which it was renamed or"
                " restored"
            )
        elif owner != role:
            foreign = f"belongs to the role {owner!r}, and the testbed's role is {role!r}"
            return cls(name, owner, None, connections, oid, foreign, of_another_role=True)
        else:
            return cls(name, owner, label, connections, oid)
        return cls(name, owner, None, connections, oid, foreign)

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
