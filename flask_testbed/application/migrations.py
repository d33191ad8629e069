"""A schema that is built by the application's migrations.

One upgrade builds all databases of an application, as ``flask db init --multidb`` has set it up. A
database in which it creates nothing is built from the models.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from configparser import RawConfigParser
from importlib.metadata import version
from pathlib import Path

from flask import Flask
from sqlalchemy import inspect

from .._compat import outer_migration
from .databases import AppDatabase
from .fingerprint import files_below, hash_files, imported_by
from .models import Models


class Migrations:
    """Creates tables as ``flask db upgrade`` does."""

    name = "migrations"
    advice = "Try them on the application's own database with: flask db upgrade"

    def fingerprint(self, databases: Sequence[AppDatabase]) -> str:
        """Return a hash of the migrations, and of the project's modules that they import."""
        default, *others = databases
        folders = _folders(default.app)
        files = files_below(folders)
        # Alembic names constraints by the naming convention of the models.
        return "\0".join(
            (
                hash_files([*files, *imported_by(files)], folders[0]),
                version("alembic"),
                _naming_convention(default),
                Models().fingerprint(others),
            )
        )

    def build(self, databases: Sequence[AppDatabase]) -> None:
        """Run the migrations, and create the tables of databases that they have left empty."""
        # Not flask_migrate.upgrade(): it ends the process if a migration fails.
        from alembic import command

        default, *others = databases
        configured = default.app.extensions["migrate"]
        # A command of the application's may be what connects, and the template is built inside it.
        with outer_migration():
            command.upgrade(configured.migrate.get_config(configured.directory), "heads")
        Models().build([one for one in others if not inspect(one.route.engine).get_table_names()])


def has_migrations(app: Flask) -> bool:
    """Return whether an application has a migration."""
    return bool(_folders(app))


def _folders(app: Flask) -> list[Path]:
    """Return the folders of migrations, first that of ``env.py``, or none without a migration."""
    configured = app.extensions.get("migrate")
    if configured is None:
        return []
    directory = Path(configured.directory)
    versions = _version_locations(directory)
    return [directory, *versions] if any(any(v.glob("*.py")) for v in versions) else []


def _version_locations(directory: Path) -> list[Path]:
    """Return the folders of revisions, from ``alembic.ini``.

    It is read without Alembic, whose import takes long.
    https://alembic.sqlalchemy.org/en/latest/branches.html#setting-up-multiple-version-directories
    """
    parser = RawConfigParser()
    parser.read(directory / "alembic.ini")
    given = parser.get("alembic", "version_locations", fallback="")
    here = given.replace("%(here)s", str(directory))
    words = re.split(rf"[\s,{re.escape(os.pathsep)}]+", here.strip())
    return [Path(word) for word in words if word] or [directory / "versions"]


def _naming_convention(database: AppDatabase) -> str:
    """Return the naming convention of the models. Functions in it count by their names."""
    convention = database.db.metadata.naming_convention
    words = {str(key): getattr(value, "__qualname__", value) for key, value in convention.items()}
    return repr(sorted(words.items()))
