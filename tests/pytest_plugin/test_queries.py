"""Counting the statements of a block."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from app.governance.models import AgentExecution, AgentRegistry
from factories import AgentExecutionFactory, AgentFactory
from flask_testbed import IsolationError


def test_the_right_number_passes(db, assert_queries) -> None:
    with assert_queries(2) as queries:
        db.session.scalar(sa.text("SELECT 1"))
        db.session.scalar(sa.text("SELECT 2"))
    assert [query.statement for query in queries] == ["SELECT 1", "SELECT 2"]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_at_most_allows_fewer(db, assert_queries, count: int) -> None:
    with assert_queries(at_most=2):
        for number in range(count):
            db.session.scalar(sa.text(f"SELECT {number}"))


@pytest.mark.parametrize("wanted", [{"exactly": 0}, {"exactly": 2}, {"at_most": 0}])
def test_the_wrong_number_shows_each_statement_and_where_it_came_from(
    db, assert_queries, wanted: dict[str, int]
) -> None:
    with pytest.raises(AssertionError) as caught, assert_queries(**wanted):
        db.session.scalar(sa.text("SELECT 1"))
    assert "1 queries, not " in str(caught.value)
    assert "test_queries.py:" in str(caught.value)
    assert "SELECT 1" in str(caught.value)


def test_an_n_plus_one_names_itself(db, assert_queries) -> None:
    for _ in range(3):
        AgentExecutionFactory()
    db.session.expire_all()
    with pytest.raises(AssertionError) as caught, assert_queries(1):
        [execution.agent.name for execution in db.session.scalars(sa.select(AgentExecution))]
    assert "N+1? 3 times the same from" in str(caught.value)


def test_a_statement_of_a_request_is_placed_in_the_application(client, assert_queries) -> None:
    with pytest.raises(AssertionError, match=r"app/[a-z_/]+\.py:\d+: SELECT"), assert_queries(0):
        client.get("/api/governance/agents")


def test_savepoints_are_not_counted(db, assert_queries) -> None:
    with assert_queries(1), db.session.begin_nested():
        db.session.scalar(sa.text("SELECT 1"))


def test_a_batch_is_one_statement(db, assert_queries) -> None:
    rows = AgentFactory.build_batch(3)
    db.session.add_all(rows)
    with assert_queries(1):
        db.session.flush()
    assert db.session.scalar(sa.select(sa.func.count(AgentRegistry.id))) == 3


@pytest.mark.parametrize("wanted", [{}, {"exactly": 1, "at_most": 1}])
def test_one_number_is_wanted(assert_queries, wanted: dict[str, int]) -> None:
    with pytest.raises(TypeError, match="either a number or at_most="), assert_queries(**wanted):
        pass


def test_an_error_in_the_block_is_not_hidden_by_the_count(assert_queries) -> None:
    with pytest.raises(ZeroDivisionError), assert_queries(5):
        _ = 1 / 0


@pytest.mark.no_database
def test_where_no_database_is_allowed_a_connection_is_an_error(app, db) -> None:
    with pytest.raises(IsolationError, match=r"marked no_database.*factory\.build"):
        db.session.execute(sa.text("SELECT 1"))
    with pytest.raises(IsolationError, match="marked no_database"):
        db.engine.connect()
    with pytest.raises(IsolationError, match="marked no_database"):
        sa.create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none").connect()


def test_after_such_a_test_connections_work_again(db) -> None:
    assert db.session.scalar(sa.text("SELECT 1")) == 1
