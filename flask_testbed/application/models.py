"""A schema that is built from the application's models."""

from __future__ import annotations

from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.engine import make_url
from sqlalchemy.engine.mock import MockConnection

from .databases import AppDatabase


class Models:
    """Creates tables as ``db.create_all()`` does."""

    name = "models"
    advice = "Try them in a shell with: db.create_all()"

    def fingerprint(self, database: AppDatabase) -> str:
        """Return the statements that create the tables, and those of listeners."""
        recorder = _Recorder()
        for key in database.routes:
            # A bind without models has no metadata.
            database.db.metadatas.get(key, MetaData()).create_all(recorder, checkfirst=False)
        return ";\n".join(recorder.statements)

    def build(self, database: AppDatabase) -> None:
        """Create the tables of all binds that lead to the database."""
        database.db.create_all(list(database.routes))


class _Recorder(MockConnection):
    """A connection that records statements and executes none."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        super().__init__(make_url("postgresql+psycopg://").get_dialect()(), self._record)

    def _record(self, statement: Any, *parameters: Any, **_: Any) -> None:
        compile_ = getattr(statement, "compile", None)
        text = compile_(dialect=self.dialect) if compile_ else statement
        self.statements.append(f"{text}{parameters or ''}")

    def __getattr__(self, name: str) -> Any:
        # Listeners may call methods that a mock connection lacks, such as exec_driver_sql().
        return self._record
