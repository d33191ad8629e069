"""Scaffold factories for the models of installed packages, and lint them."""

from __future__ import annotations

import contextlib
import importlib
import logging
import pkgutil
import re
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Enum, MetaData, Table, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapper, configure_mappers
from sqlalchemy.orm.mapper import _all_registries
from sqlalchemy.schema import CreateTable

from flask_testbed import Testbed, development_url
from flask_testbed.factories.lint import Fault, lint
from flask_testbed.factories.scaffold import scaffold

from .measure import show

MODELS = re.compile("models?|sql|db|tables?")
OTHERS = re.compile(r"(^|\.)(tests?|migrations?|alembic\w*|versions|cmd)(\.|$)")


def import_models(package: str) -> None:
    """Import every module of a package whose name sounds like models."""
    # The warnings, log messages and missing dependencies of a package are not measured.
    warnings.simplefilter("ignore")
    logging.disable()
    root = importlib.import_module(package)
    for found in pkgutil.walk_packages(root.__path__, f"{package}.", onerror=lambda name: None):
        if MODELS.search(found.name) and not OTHERS.search(found.name):
            with contextlib.suppress(Exception, SystemExit):
                importlib.import_module(found.name)


def mappers_by_metadata(packages: Iterable[str]) -> dict[MetaData, list[Mapper[Any]]]:
    """Return the models of packages that are mapped to tables, by metadata."""
    configure_mappers()
    found: dict[MetaData, list[Mapper[Any]]] = {}
    for registry in _all_registries():
        for mapper in registry.mappers:
            inside = mapper.class_.__module__.partition(".")[0] in packages
            if inside and isinstance(mapper.local_table, Table):
                found.setdefault(mapper.local_table.metadata, []).append(mapper)
    for mappers in found.values():
        mappers.sort(key=lambda mapper: (mapper.class_.__module__, mapper.class_.__name__))
    return found


def fit_postgresql(metadata: MetaData, app: Flask, db: SQLAlchemy) -> set[Table]:
    """Adapt a schema that was written for other databases to PostgreSQL.

    :returns: the tables that PostgreSQL refuses nevertheless.
    """
    dialect = postgresql.psycopg.dialect()
    names: Counter[str] = Counter()
    for table in metadata.tables.values():
        for column in table.columns:
            if isinstance(column.type, Enum) and not column.type.name:
                column.type.name = f"{table.name}_{column.name}"
        # In other databases, the name of an index need only be unique in its table.
        for index in sorted(table.indexes, key=lambda one: str(one.name)):
            names[str(index.name)] += 1
            index.name = f"{str(index.name)[:50]}_{names[str(index.name)]}"
    refused = set()
    with app.app_context(), db.engine.connect() as connection:
        for table in metadata.sorted_tables:
            savepoint = connection.begin_nested()
            try:
                CreateTable(table).compile(dialect=dialect)
                table.create(connection)
                savepoint.commit()
            except (SQLAlchemyError, NotImplementedError):
                savepoint.rollback()
                refused.add(table)
        connection.execute(text("SELECT 1"))
        connection.rollback()
    for table in refused:
        metadata.remove(table)
    return refused


def scaffold_and_lint(
    metadata: MetaData, mappers: list[Mapper[Any]], folder: Path, samples: int
) -> tuple[list[type], list[Fault], int, int]:
    """Scaffold and lint. Return the models, the faults, the number left out, and of lines."""
    number = len(sys.modules)
    app = Flask(f"scaffold{number}", instance_path=str(folder))
    app.config["SQLALCHEMY_DATABASE_URI"] = development_url(folder, f"scaffold{number}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        db = SQLAlchemy(metadata=metadata)
        db.init_app(app)
        Testbed(app)
        with no_creation(metadata):
            refused = fit_postgresql(metadata, app, db)
        kept = [one for one in mappers if not refused & set(one.tables)]
        module = f"scaffolded_{number}"
        source = scaffold([one.class_ for one in kept])
        (folder / f"{module}.py").write_text(source)
        factories = importlib.import_module(module).factories
        factories.init_app(app, db)
        models = [factory._meta.model for factory in factories]
        faults = list(lint(app, samples=samples, partial=True).faults)
    return models, faults, len(mappers) - len(kept), source.count("\n")


@contextlib.contextmanager
def no_creation(metadata: MetaData) -> Iterator[None]:
    """Do not create the tables: `fit_postgresql` creates them one by one."""
    kept, metadata.create_all = metadata.create_all, lambda *_, **__: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        metadata.create_all = kept  # type: ignore[method-assign]


@click.command()
@click.argument("packages", nargs=-1, required=True)
@click.option("--samples", default=100, show_default=True, help="Samples of each factory.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder to write the factories to.")
@click.option("--verbose", is_flag=True, help="Print each fault.")
def command(packages: tuple[str, ...], samples: int, keep: Path | None, verbose: bool) -> None:
    """Scaffold factories for every model of installed PACKAGES, and count those that lint clean.

    A model is clean if neither a plain call nor one with all optional values has a fault, built,
    created, or created in a batch, nor any of its samples.

    \b
    Example:
      python -m benchmarks scaffold keystone cinder
    """
    for package in packages:
        import_models(package)
    rows, total, clean = [], 0, 0
    folder = keep or Path(tempfile.mkdtemp(prefix="scaffold-"))
    folder.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(folder))
    for metadata, mappers in mappers_by_metadata(packages).items():
        begun = time.perf_counter()
        models, faults, left_out, lines = scaffold_and_lint(metadata, mappers, folder, samples)
        bad = {fault.factory for fault in faults}
        total, clean = total + len(models), clean + len(models) - len(bad)
        name = ", ".join(sorted({one.class_.__module__.partition(".")[0] for one in mappers}))
        seconds = f"{time.perf_counter() - begun:.1f}"
        good = str(len(models) - len(bad))
        rows.append([name, str(len(models)), good, str(left_out), str(lines), seconds])
        for fault in faults if verbose else ():
            where = f"{fault.table}.{','.join(fault.columns)} {fault.kind} {fault.constraint}"
            click.echo(f"{fault.factory} [{fault.trait or ''}] {where}\n    {fault.message[:200]}")
    headings = ["package", "models", "clean", "no table", "lines", "seconds"]
    show(headings, rows)
    click.echo(f"\n{clean} of {total} models lint clean: {clean / max(total, 1):.1%}.")


if __name__ == "__main__":
    command()
