"""Compare the models, the migrations and the factories.

The migrations and the models each create their tables, whose definitions are read from
PostgreSQL's catalogs, where equal ones are written in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from flask import Flask
from sqlalchemy import Table
from sqlalchemy import inspect as mapping_of

from ..application.databases import AppDatabase, database_of
from ..application.schema import build_from_models, find_schema
from ..postgres.cluster import Cluster
from .building import temporary_databases, urls_of
from .catalog import Entry, EntryKind, drop_tables, read_schema
from .test_database import TestDatabase


@dataclass(frozen=True)
class Difference:
    """A difference between two of them."""

    kind: str
    """``table``, ``column``, ``constraint``, ``index``, ``enum`` or ``factory``."""
    table: str
    name: str
    says: str
    """The difference, as the end of a sentence."""

    def __str__(self) -> str:
        if self.kind == "factory":
            return f"factory {self.name}: {self.says}"
        if self.kind == "column":
            return f"column {self.table}.{self.name}: {self.says}"
        return f"{self.kind} {self.name or self.table}{self._of}: {self.says}"

    @property
    def _of(self) -> str:
        return f" of {self.table}" if self.name else ""


@dataclass(frozen=True)
class Checked:
    """The result of a check."""

    source: str
    """What builds the schema: ``migrations`` or ``models``."""
    tables: int
    factories: int
    differences: list[Difference]


def check(app: Flask, ignore: Sequence[str] = (), factories: Iterable[type[Any]] = ()) -> Checked:
    """Compare the tables of the migrations with the models, and both with the factories.

    The comparison is made in a temporary database.

    :param ignore: patterns (``audit_*``) of tables and enums that are not compared.
    :param factories: the application's factories.
    :raises TestbedError: the schema cannot be built.
    """
    database = database_of(app)
    source = find_schema(database).source.name
    with TestDatabase(app).temporary() as (cluster, name):
        with closing(cluster.connect(name)) as connection:
            built = read_schema(connection)
        from_models = built
        if source == "migrations":
            from_models = _read_models(database, cluster, name)
    tables = _tables(built)
    known = list(_factories(factories, database))
    differences = [
        *compare(_without(from_models, ignore), _without(built, ignore)),
        *_without_table(known, tables),
    ]
    return Checked(source, len(tables), len(known), differences)


def _read_models(database: AppDatabase, cluster: Cluster, name: str) -> list[Entry]:
    """Replace the tables of a database by those of the models, and read them."""
    with closing(cluster.connect(name)) as connection:
        drop_tables(connection)
    others = find_schema(database).others
    with temporary_databases(cluster, others) as names:
        build_from_models(database, cluster.url.set(database=name), urls_of(cluster, names))
    with closing(cluster.connect(name)) as connection:
        return read_schema(connection)


def compare(models: Sequence[Entry], migrations: Sequence[Entry]) -> list[Difference]:
    """Return the differences between two schemas, sorted by table."""
    found = [
        *_missing(models, migrations, "table", "table"),
        *_missing(models, migrations, "type", "column"),
        *_columns(models, migrations),
        *_named(models, migrations, "constraint"),
        *_named(models, migrations, "index"),
        *_enums(models, migrations),
    ]
    return sorted(found, key=lambda one: (one.table, one.kind != "table", one.kind, one.name))


def _without(entries: Iterable[Entry], ignore: Sequence[str]) -> list[Entry]:
    return [
        entry
        for entry in entries
        if not any(fnmatchcase(entry.relation, pattern) for pattern in ignore)
    ]


def _by_place(entries: Iterable[Entry], kind: EntryKind) -> dict[tuple[str, str], str]:
    return {(entry.relation, entry.name): entry.says for entry in entries if entry.kind == kind}


def _tables(entries: Iterable[Entry]) -> set[str]:
    return {entry.relation for entry in entries if entry.kind == "table"}


def _missing(
    models: Sequence[Entry], migrations: Sequence[Entry], kind: EntryKind, called: str
) -> Iterator[Difference]:
    """Return what only one of them has, in tables that both have."""
    ours, theirs = _by_place(models, kind), _by_place(migrations, kind)
    both = _tables(models) & _tables(migrations)
    for table, name in ours.keys() ^ theirs.keys():
        if kind == "table" or table in both:
            says = "the models have it, the migrations do not make it"
            if (table, name) in theirs:
                says = "the migrations make it, the models do not have it"
            yield Difference(called, table, name, says)


def _columns(models: Sequence[Entry], migrations: Sequence[Entry]) -> Iterator[Difference]:
    """Return the columns that are defined differently."""
    kinds: tuple[EntryKind, ...] = ("type", "null", "default", "comment")
    for kind in kinds:
        ours, theirs = _by_place(models, kind), _by_place(migrations, kind)
        for table, name in ours.keys() & theirs.keys():
            one, other = ours[table, name], theirs[table, name]
            if one != other:
                says = f"the model {_says(kind, one)}, the migrations {_say(kind, other)}"
                yield Difference("column", table, name, says)


def _says(kind: EntryKind, value: str) -> str:
    """Return what one of them says of a column, after its name: "says NOT NULL"."""
    if value == "NULL":
        return "allows NULL"
    if not value:
        return f"has no {kind}"
    return f"says {value!r}" if kind == "comment" else f"says {value}"


def _say(kind: EntryKind, value: str) -> str:
    """Return the same in the plural."""
    verb, _, rest = _says(kind, value).partition(" ")
    return f"{ {'allows': 'allow', 'has': 'have', 'says': 'say'}[verb] } {rest}"


def _named(
    models: Sequence[Entry], migrations: Sequence[Entry], kind: EntryKind
) -> Iterator[Difference]:
    """Return constraints and indexes that differ in name or definition, or that only one has."""
    both = _tables(models) & _tables(migrations)
    ours, theirs = (
        {place: says for place, says in _by_place(entries, kind).items() if place[0] in both}
        for entries in (models, migrations)
    )
    left = {place: says for place, says in ours.items() if theirs.get(place) != says}
    right = {place: says for place, says in theirs.items() if ours.get(place) != says}
    for place in sorted(left):
        table, name = place
        if place in right:
            other = right.pop(place)
            says = f"the models say {left[place]}, the migrations say {other}"
        elif twin := next((p for p in sorted(right) if _is_same(p, right, place, left)), None):
            right.pop(twin)
            says = f"the migrations call it {twin[1]}; it is {left[place]}"
        else:
            says = f"the models have it ({left[place]}), the migrations do not make it"
        yield Difference(kind, table, name, says)
    for (table, name), definition in sorted(right.items()):
        says = f"the migrations make it ({definition}), the models do not have it"
        yield Difference(kind, table, name, says)


def _is_same(
    one: tuple[str, str],
    ones: dict[tuple[str, str], str],
    other: tuple[str, str],
    others: dict[tuple[str, str], str],
) -> bool:
    return one[0] == other[0] and ones[one] == others[other]


def _enums(models: Sequence[Entry], migrations: Sequence[Entry]) -> Iterator[Difference]:
    ours, theirs = _by_place(models, "enum"), _by_place(migrations, "enum")
    for name, _ in ours.keys() | theirs.keys():
        one, other = ours.get((name, "")), theirs.get((name, ""))
        if one == other:
            continue
        if one is None:
            says = "the migrations make it, the models do not have it"
        elif other is None:
            says = "the models have it, the migrations do not make it"
        else:
            says = f"the models say {one}, the migrations say {other}"
        yield Difference("enum", name, "", says)


def _factories(
    factories: Iterable[type[Any]], database: AppDatabase
) -> Iterator[tuple[str, str, list[Table]]]:
    """Return name, model and tables of the factories whose models are in the default database."""
    elsewhere = [
        metadata for key, metadata in database.db.metadatas.items() if key not in database.routes
    ]
    for factory in factories:
        model = factory._meta.model
        tables = [table for table in mapping_of(model).tables if isinstance(table, Table)]
        if not any(table.metadata is other for table in tables for other in elsewhere):
            yield factory.__name__, model.__name__, tables


def _without_table(
    factories: Iterable[tuple[str, str, list[Table]]], tables: set[str]
) -> Iterator[Difference]:
    for name, model, wanted in factories:
        for table in wanted:
            schema = "" if table.schema in (None, "public") else f"{table.schema}."
            if f"{schema}{table.name}" not in tables:
                says = f"its model {model} is in the table {table.name!r}, which is not there"
                yield Difference("factory", f"{schema}{table.name}", name, says)


def describe_source(checked: Checked) -> str:
    """Return what was compared, for a person."""
    compared = "the migrations and the models"
    if checked.source == "models":
        compared = "the models (there are no migrations)"
    return f"{compared} with {checked.factories} factories on {checked.tables} tables"
