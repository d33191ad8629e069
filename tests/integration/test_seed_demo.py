"""``flask seed demo``: believable, consistent, and the same each time."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from itertools import pairwise
from statistics import mean
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import RowMapping
from werkzeug.security import check_password_hash

from app.governance.models import AgentStatus, ExecutionStatus, User, UserRole, UserStatus
from app.workspace.models import CommandState, TurnActor, TurnIntent
from app.workspace.state_machine import can_move
from factories import PASSWORD, UserFactory
from factories.scenarios import scenarios
from flask_testbed.seeds.playing import SeedReport, play

DAY = date(2026, 3, 4)
MIDNIGHT = datetime(2026, 3, 4, tzinfo=UTC)

Data = dict[str, list[RowMapping]]


def play_demo(app: Flask, db: SQLAlchemy, **options: Any) -> SeedReport:
    return play(app, db, scenarios["demo"], **{"as_of": DAY, "reset": True, **options})


def read(db: SQLAlchemy) -> Data:
    with db.engine.connect() as connection:
        return {
            table.name: list(
                connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()
            )
            for table in db.metadata.sorted_tables
        }


@pytest.fixture(scope="module")
def demo(app: Flask) -> Data:
    """What one play has written. The rows themselves are gone."""
    db: SQLAlchemy = app.extensions["sqlalchemy"]
    with app.app_context():
        play_demo(app, db)
        written = read(db)
        names = ", ".join(table.name for table in db.metadata.sorted_tables)
        db.session.execute(sa.text(f"TRUNCATE {names} RESTART IDENTITY"))
        db.session.commit()
        return written


def by(rows: list[RowMapping], key: str) -> dict[Any, list[RowMapping]]:
    found: dict[Any, list[RowMapping]] = {}
    for row in rows:
        found.setdefault(row[key], []).append(row)
    return found


# Believable


def test_every_table_has_rows_and_all_together_some_hundreds(demo: Data) -> None:
    assert all(demo.values())
    assert 500 <= sum(map(len, demo.values())) <= 1500


@pytest.mark.parametrize(
    ("table", "column", "states"),
    [
        ("users", "role", UserRole),
        ("users", "status", UserStatus),
        ("agent_registry", "status", AgentStatus),
        ("agent_executions", "status", ExecutionStatus),
        ("turns", "actor", TurnActor),
        ("turns", "intent", TurnIntent),
        ("commands", "state", CommandState),
    ],
)
def test_every_state_occurs(demo: Data, table: str, column: str, states: Any) -> None:
    assert {row[column] for row in demo[table]} == set(states)


def test_agents_do_better_the_more_they_are_trusted(demo: Data) -> None:
    ended = [row for row in demo["agent_executions"] if row["completed_at"]]
    shares = [
        mean(row["status"] is ExecutionStatus.COMPLETED for row in rows)
        for _, rows in sorted(
            by(ended, "maturity_at_execution").items(),
            key=lambda item: list(AgentStatus).index(item[0]),
        )
    ]
    assert shares == sorted(shares)
    assert shares[0] < 0.7 < 0.9 < shares[-1]


def test_students_are_corrected_most(demo: Data) -> None:
    agents = {row["id"]: row["status"] for row in demo["agent_registry"]}
    corrected = Counter(
        agents[row["agent_id"]] for row in demo["agent_feedback"] if row["user_correction"]
    )
    assert corrected[AgentStatus.STUDENT] > corrected[AgentStatus.AUTONOMOUS]


def test_confidence_rises_with_maturity(demo: Data) -> None:
    agents = by(demo["agent_registry"], "status")
    means = [mean(row["confidence"] for row in agents[status]) for status in AgentStatus]
    assert means == sorted(means)


def test_people_can_log_in(demo: Data) -> None:
    emails = {row["email"] for row in demo["users"]}
    assert len(emails) == len(demo["users"])
    assert all(email.endswith("@larkspur.example") for email in emails)
    assert all(check_password_hash(row["password_hash"], PASSWORD) for row in demo["users"])


def test_no_sentence_has_a_gap_left(demo: Data) -> None:
    texts = [
        value
        for rows in demo.values()
        for row in rows
        for value in row.values()
        if isinstance(value, str)
    ]
    assert len(texts) > 1000
    assert not [text for text in texts if "{" in text or "}" in text]


# Consistent


def test_everything_happened_before_the_day(demo: Data) -> None:
    moments = [
        (table, key, value)
        for table, rows in demo.items()
        for row in rows
        for key, value in row.items()
        if isinstance(value, datetime)
    ]
    assert [found for found in moments if found[2] >= MIDNIGHT] == []


def test_feedback_comes_after_the_execution_and_from_its_agent(demo: Data) -> None:
    executions = {row["id"]: row for row in demo["agent_executions"]}
    for row in demo["agent_feedback"]:
        execution = executions[row["execution_id"]]
        assert row["agent_id"] == execution["agent_id"]
        assert row["created_at"] > execution["completed_at"]
        assert row["original_output"] == execution["response_summary"]


def test_nobody_works_before_they_are_there(demo: Data) -> None:
    arrived = {
        row["id"]: row["created_at"] for table in ("users", "agent_registry") for row in demo[table]
    }
    for table, moment in [
        ("agent_executions", "started_at"),
        ("agent_feedback", "created_at"),
        ("episodes", "started_at"),
        ("canvas_audits", "presented_at"),
    ]:
        for row in demo[table]:
            assert all(
                arrived[row[key]] < row[moment] for key in ("agent_id", "user_id") if key in row
            )


def test_maturity_never_falls(demo: Data) -> None:
    ranks = list(AgentStatus)
    now = {row["id"]: ranks.index(row["status"]) for row in demo["agent_registry"]}
    for agent, rows in by(demo["agent_executions"], "agent_id").items():
        ordered = sorted(rows, key=lambda row: row["started_at"])
        passed = [ranks.index(row["maturity_at_execution"]) for row in ordered]
        assert [*passed, now[agent]] == sorted([*passed, now[agent]])


def test_segments_are_in_order_within_their_episode(demo: Data) -> None:
    segments = by(demo["episode_segments"], "episode_id")
    for episode in demo["episodes"]:
        parts = sorted(segments.get(episode["id"], []), key=lambda row: row["sequence_order"])
        assert [row["sequence_order"] for row in parts] == list(range(len(parts)))
        bounds = [bound for row in parts for bound in (row["started_at"], row["ended_at"])]
        assert bounds == sorted(bounds)
        assert all(episode["started_at"] <= bound <= episode["ended_at"] for bound in bounds)


def test_questions_are_answered_by_the_turn_that_follows(demo: Data) -> None:
    turns = {row["id"]: row for row in demo["turns"]}
    states = {row["id"]: row["state"] for row in demo["commands"]}
    questions = [row for row in turns.values() if row["intent"] is TurnIntent.QUESTION]
    answered = [row for row in questions if row["answered_by_turn_id"]]
    assert answered
    for row in answered:
        answer = turns[row["answered_by_turn_id"]]
        assert answer["intent"] is TurnIntent.ANSWER
        assert answer["command_id"] == row["command_id"]
        assert answer["timestamp"] > row["timestamp"]
    waiting = [row for row in questions if not row["answered_by_turn_id"]]
    assert {states[row["command_id"]] for row in waiting} == {CommandState.AWAITING_INPUT}


def test_a_conversation_goes_forward(demo: Data) -> None:
    commands = {row["id"]: row for row in demo["commands"]}
    for key, turns in by(demo["turns"], "command_id").items():
        moments = [turn["timestamp"] for turn in turns]
        assert [commands[key]["started_at"], *moments] == sorted(
            {commands[key]["started_at"], *moments}
        )
        assert turns[0]["intent"] is TurnIntent.COMMAND
        assert turns[0]["text"] == commands[key]["instruction"]


def test_events_tell_every_legal_move_of_every_command(demo: Data) -> None:
    moves = by([row for row in demo["events"] if row["command_id"]], "command_id")
    for command in demo["commands"]:
        events = sorted(moves.get(command["id"], []), key=lambda row: row["timestamp"])
        path = [CommandState.IDLE, *(CommandState(row["payload"]["to"]) for row in events)]
        assert [row["payload"]["from"] for row in events] == path[:-1]
        assert all(can_move(start, end) for start, end in pairwise(path))
        assert path[-1] is command["state"]
        if command["completed_at"]:
            assert events[-1]["timestamp"] == command["completed_at"]


def test_the_keys_of_an_event_belong_together(demo: Data) -> None:
    agents = {row["id"]: row for row in demo["agents"]}
    commands = {row["id"]: row for row in demo["commands"]}
    turns = {row["id"]: row for row in demo["turns"]}
    for row in demo["events"]:
        if row["turn_id"]:
            assert turns[row["turn_id"]]["command_id"] == row["command_id"]
        if row["command_id"]:
            assert commands[row["command_id"]]["agent_id"] == row["agent_id"]
        if row["agent_id"]:
            assert agents[row["agent_id"]]["project_id"] == row["project_id"]


def test_sessions_last_from_their_first_command_to_their_last_turn(demo: Data) -> None:
    commands = by(demo["commands"], "agent_id")
    turns = by(demo["turns"], "command_id")
    live = [row for row in demo["agents"] if row["ended_at"] is None]
    assert 0 < len(live) < len(demo["agents"])
    for row in demo["agents"]:
        said = [turn for key in commands[row["id"]] for turn in turns.get(key["id"], [])]
        assert all(row["started_at"] < turn["timestamp"] <= row["last_seen_at"] for turn in said)
        if row["ended_at"] is not None:
            assert row["last_seen_at"] <= row["ended_at"]
            assert {key["state"] for key in commands[row["id"]]} == {CommandState.COMPLETE}


def test_the_history_of_an_objective_leads_to_what_it_says_now(demo: Data) -> None:
    histories = by(demo["objective_histories"], "objective_id")
    for objective in demo["objectives"]:
        *former, present = histories[objective["id"]]
        assert (present["text"], present["started_at"], present["ended_at"]) == (
            objective["current_text"],
            objective["set_at"],
            None,
        )
        starts = [*(row["started_at"] for row in former), present["started_at"]]
        assert [row["ended_at"] for row in former] == starts[1:]


# The same each time


def test_one_seed_gives_the_same_rows_and_keys(app: Flask, db: SQLAlchemy, demo: Data) -> None:
    play_demo(app, db)
    assert read(db) == demo


def test_another_seed_gives_others(app: Flask, db: SQLAlchemy, demo: Data) -> None:
    play_demo(app, db, random_seed=1)
    other = read(db)
    assert {row["id"] for row in other["users"]}.isdisjoint(row["id"] for row in demo["users"])


def test_the_scale_multiplies(app: Flask, db: SQLAlchemy, demo: Data) -> None:
    report = play_demo(app, db, scale=2)
    for table in ("users", "agent_registry", "projects", "objectives"):
        assert report.rows[table] == 2 * len(demo[table])
    assert report.total > 1.8 * sum(map(len, demo.values()))


# As a command


def test_the_command_fills_the_database_that_the_routes_show(
    app: Flask, db: SQLAlchemy, client: FlaskClient
) -> None:
    result = app.test_cli_runner().invoke(args=["seed", "demo", "--reset", "--as-of", "2026-03-04"])
    assert result.exit_code == 0
    assert "rows of 'demo' as of 2026-03-04" in result.stdout
    assert client.get("/").status_code == 200


def test_if_empty_leaves_data_that_is_there(app: Flask, db: SQLAlchemy) -> None:
    user = UserFactory()
    result = app.test_cli_runner().invoke(args=["seed", "demo", "--if-empty"])
    assert (result.exit_code, result.output.count("left as it is")) == (0, 1)
    assert db.session.scalars(sa.select(User.id)).all() == [user.id]


def test_if_empty_fills_what_is_empty(app: Flask, db: SQLAlchemy) -> None:
    result = app.test_cli_runner().invoke(args=["seed", "demo", "--if-empty"])
    assert result.exit_code == 0
    assert db.session.scalars(sa.select(User.id)).all()


def test_if_empty_and_reset_exclude_each_other(app: Flask) -> None:
    result = app.test_cli_runner().invoke(args=["seed", "demo", "--if-empty", "--reset"])
    assert result.exit_code == 2
