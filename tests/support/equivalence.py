"""Whether a factory makes the same kind of rows in bulk as in single calls."""

from __future__ import annotations

import os
import uuid
from collections import Counter
from typing import Any

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy

from flask_testbed.factories import BaseFactory, reseed
from tests.support.distributions import likeness

#: How many rows are compared.
ROWS = int(os.environ.get("TESTBED_EQUIVALENCE_ROWS", "100"))

#: So small that it never happens by chance: some two hundred columns are compared.
LEAST = 1e-5

Sample = dict[str, dict[str, list[Any]]]


def sample(db: SQLAlchemy) -> Sample:
    """All rows: for each table that has any, the values of each column."""
    found: Sample = {}
    with db.engine.connect() as connection:
        for table in db.metadata.tables.values():
            rows = connection.execute(sa.select(table)).mappings().all()
            if rows:
                found[table.name] = {
                    column.name: column_of(column, [row[column.name] for row in rows])
                    for column in table.columns
                }
    return found


def column_of(column: sa.Column[Any], values: list[Any]) -> list[Any]:
    """Of a reference, how often each row is referred to: the keys themselves say nothing."""
    if any(len(key.constraint.columns) == 1 for key in column.foreign_keys if key.constraint):
        counts = Counter(value for value in values if value is not None)
        return [None if value is None else counts[value] for value in values]
    return values


def made(
    db: SQLAlchemy, factory: type[BaseFactory[Any]], size: int, values: dict[str, Any], how: str
) -> Sample:
    db.session.remove()
    with db.engine.begin() as connection:
        names = ", ".join(db.metadata.tables)
        connection.execute(sa.text(f"TRUNCATE {names} RESTART IDENTITY"))
    reseed(how)
    getattr(factory, how)(size, **values)
    return sample(db)


def differences(
    db: SQLAlchemy, factory: type[BaseFactory[Any]], size: int, values: dict[str, Any]
) -> list[str]:
    """What is not alike: a table by its number of rows, or a column by how it is distributed.

    All tables are emptied.
    """
    bulk = made(db, factory, size, values, "create_bulk")
    single = made(db, factory, size, values, "create_batch")
    numbers = [
        f"{table}: {rows(bulk, table)} rows, or {rows(single, table)}"
        for table in sorted({*bulk, *single})
        if rows(bulk, table) != rows(single, table)
    ]
    return numbers or [
        f"{table}.{column}"
        for table, columns in bulk.items()
        for column, found in columns.items()
        if not alike(found, single[table][column])
    ]


def rows(found: Sample, table: str) -> int:
    return len(next(iter(found.get(table, {"": []}).values())))


def alike(one: list[Any], other: list[Any]) -> bool:
    if all(isinstance(value, uuid.UUID) for value in (*one, *other)):
        # Random, and none of them twice.
        return all(value.version == 4 for value in one) and len({*one, *other}) == 2 * len(one)
    assert {type(value) for value in one} == {type(value) for value in other}
    return likeness(one, other) > LEAST
