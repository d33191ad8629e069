"""A schema that is built from the application's models."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import MetaData

from .._compat import RecordingConnection
from .databases import AppDatabase


class Models:
    """Creates tables as ``db.create_all()`` does."""

    name = "models"
    advice = "Try them in a shell with: db.create_all()"

    def fingerprint(self, databases: Sequence[AppDatabase]) -> str:
        """Return the statements that create the tables, and those of listeners."""
        recorder = RecordingConnection()
        for database in databases:
            for key in database.routes:
                # A bind without models has no metadata.
                database.db.metadatas.get(key, MetaData()).create_all(recorder, checkfirst=False)
        return ";\n".join(recorder.statements)

    def build(self, databases: Sequence[AppDatabase]) -> None:
        """Create the tables of all binds that lead to the databases."""
        for database in databases:
            database.db.create_all(list(database.routes))
