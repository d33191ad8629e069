"""Bulk and single rows of each factory: accepted by the same constraints, and distributed alike.

``TESTBED_EQUIVALENCE_ROWS=2000`` compares as many rows as that.
"""

from __future__ import annotations

import os
import uuid
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy

from factories import AgentExecutionFactory, AgentFactory, EpisodeFactory, factories
from factories.workspace import CommandFactory, EventFactory, ObjectiveFactory
from flask_testbed.factories import BaseFactory, reseed
from flask_testbed.randomness import frozen
from tests.distributions import chi_squared_tail, homogeneity, kolmogorov_smirnov, likeness

ROWS = int(os.environ.get("TESTBED_EQUIVALENCE_ROWS", "100"))

#: So small that it never happens by chance: some two hundred columns are compared.
LEAST = 1e-5

NOW = datetime(2026, 5, 1, tzinfo=UTC)

#: Calls that take ways of their own through the declarations.
CALLS: dict[str, tuple[type[BaseFactory[Any]], dict[str, Any]]] = {
    **{factories.name_of(factory): (factory, {}) for factory in factories},
    "failed executions": (AgentExecutionFactory, {"failed": True, "watched": True}),
    "agents with executions": (AgentFactory, {"with_executions": 2, "autonomous": True}),
    "consolidated episodes": (EpisodeFactory, {"consolidated": True, "with_segments": 3}),
    "complete commands": (CommandFactory, {"complete": True, "with_turns": 2}),
    "events with their chain": (EventFactory, {"with_chain": True}),
    "objectives with their history": (ObjectiveFactory, {"with_history": 2}),
}

Sample = dict[str, dict[str, list[Any]]]


def sample(db: SQLAlchemy) -> Sample:
    """All rows: for each table that has any, the values of each column."""
    found: Sample = {}
    with db.engine.connect() as connection:
        for table in db.metadata.sorted_tables:
            rows = connection.execute(sa.select(table)).mappings().all()
            if rows:
                found[table.name] = {
                    column.name: column_of(column, [row[column.name] for row in rows])
                    for column in table.columns
                }
    return found


def column_of(column: sa.Column[Any], values: list[Any]) -> list[Any]:
    """Of a reference, how often each row is referred to: the keys themselves say nothing."""
    if column.foreign_keys:
        counts = Counter(value for value in values if value is not None)
        return [None if value is None else counts[value] for value in values]
    return values


def made(
    db: SQLAlchemy, factory: type[BaseFactory[Any]], values: dict[str, Any], how: str
) -> Sample:
    db.session.remove()
    with db.engine.begin() as connection:
        names = ", ".join(table.name for table in db.metadata.sorted_tables)
        connection.execute(sa.text(f"TRUNCATE {names} RESTART IDENTITY"))
    reseed(how)
    with frozen(NOW):
        getattr(factory, how)(ROWS, **values)
    return sample(db)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_bulk_rows_are_distributed_like_single_ones(db: SQLAlchemy, name: str) -> None:
    factory, values = CALLS[name]
    bulk = made(db, factory, values, "create_bulk")
    single = made(db, factory, values, "create_batch")

    assert {table: len(next(iter(columns.values()))) for table, columns in bulk.items()} == {
        table: len(next(iter(columns.values()))) for table, columns in single.items()
    }
    unlike = [
        f"{table}.{column}"
        for table, columns in bulk.items()
        for column, found in columns.items()
        if not alike(found, single[table][column])
    ]
    assert unlike == []


def alike(one: list[Any], other: list[Any]) -> bool:
    if all(isinstance(value, uuid.UUID) for value in (*one, *other)):
        # Random, and none of them twice.
        return all(value.version == 4 for value in one) and len({*one, *other}) == 2 * len(one)
    assert {type(value) for value in one} == {type(value) for value in other}
    return likeness(one, other) > LEAST


# The tests themselves


def test_what_is_not_alike_is_told_apart() -> None:
    even = [n / ROWS for n in range(ROWS)]
    assert kolmogorov_smirnov(even, [value + 0.001 for value in even]) > 0.99
    assert kolmogorov_smirnov(even, [value**3 for value in even]) < LEAST
    assert homogeneity([n % 2 for n in range(ROWS)], [n % 2 for n in range(ROWS)]) > 0.9
    assert homogeneity([n % 2 for n in range(ROWS)], [n % 8 for n in range(ROWS)]) < LEAST
    assert likeness([None, *even], [None] * ROWS) < LEAST
    assert likeness(["a" * (n % 50) for n in range(ROWS)], ["a" * 20] * ROWS) < LEAST


@pytest.mark.parametrize(
    ("statistic", "freedom", "tail"),
    [(3.841, 1, 0.05), (5.991, 2, 0.05), (18.307, 10, 0.05), (29.588, 10, 0.001)],
)
def test_the_tail_is_that_of_the_tables(statistic: float, freedom: int, tail: float) -> None:
    assert chi_squared_tail(statistic, freedom) == pytest.approx(tail, rel=0.1)
