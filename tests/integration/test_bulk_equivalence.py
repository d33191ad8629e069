"""Bulk and single rows of each factory: accepted by the same constraints, and distributed alike.

``TESTBED_EQUIVALENCE_ROWS=2000`` compares as many rows as that.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy

from factories import AgentExecutionFactory, AgentFactory, EpisodeFactory, factories
from factories.workspace import CommandFactory, EventFactory, ObjectiveFactory
from flask_testbed.factories import BaseFactory
from flask_testbed.randomness import frozen
from tests.support.distributions import chi_squared_tail, homogeneity, kolmogorov_smirnov, likeness
from tests.support.equivalence import LEAST, ROWS, differences

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


@pytest.mark.parametrize("name", sorted(CALLS))
def test_bulk_rows_are_distributed_like_single_ones(db: SQLAlchemy, name: str) -> None:
    factory, values = CALLS[name]
    with frozen(NOW):
        assert differences(db, factory, ROWS, values) == []


def test_rows_are_like_single_ones(db: SQLAlchemy) -> None:
    keys = AgentFactory.create_bulk(10, intern=True, category="sales")

    for agent in db.session.scalars(sa.select(AgentFactory._meta.model)):
        assert agent.id in keys
        assert agent.module_path == "agents.sales"
        assert 0.5 <= agent.confidence <= 0.7
        assert agent.capabilities == ["read", "summarise", "draft"]


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
