"""Bulk creation with the application's own factories."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy

from factories import AgentFactory, factories
from flask_testbed.factories import BaseFactory


def rows(db: SQLAlchemy, model: Any) -> list[Any]:
    return list(db.session.scalars(sa.select(model)))


@pytest.mark.parametrize("name", sorted(factories.name_of(factory) for factory in factories))
def test_every_factory_makes_rows_in_bulk(db: SQLAlchemy, name: str) -> None:
    factory: type[BaseFactory[Any]] = factories[name]
    model = factory._meta.model

    keys = factory.create_bulk(25)

    key = sa.inspect(model).primary_key[0]
    assert len(set(keys)) == 25
    assert set(keys) <= set(db.session.scalars(sa.select(key)))


def test_rows_are_like_single_ones(db: SQLAlchemy) -> None:
    agents = AgentFactory.create_bulk(10, intern=True, category="sales")

    for agent in rows(db, AgentFactory._meta.model):
        assert agent.id in agents
        assert agent.module_path == "agents.sales"
        assert 0.5 <= agent.confidence <= 0.7
        assert agent.capabilities == ["read", "summarise", "draft"]
