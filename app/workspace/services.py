"""The acts of the workspace domain. Each one that changes something commits it."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import joinedload

from app.api import Conflict, Fault, Invalid, Page, fetch, paginate, save
from app.extensions import db, utc_now
from app.workspace import schemas
from app.workspace.models import (
    Agent,
    Command,
    CommandState,
    Event,
    Objective,
    ObjectiveHistory,
    Project,
    Turn,
)
from app.workspace.state_machine import MOVES, can_move

STATE_CHANGED = "command.state_changed"


# Projects


def list_projects(wanted: schemas.ProjectListing) -> Page[Project]:
    """Projects by name; ``q`` is part of a name or a path."""
    statement = sa.select(Project)
    if wanted.q:
        statement = statement.where(
            sa.or_(
                Project.name.icontains(wanted.q, autoescape=True),
                Project.path.icontains(wanted.q, autoescape=True),
            )
        )
    return paginate(statement.order_by(Project.name, Project.id), wanted)


def create_project(new: schemas.NewProject) -> Project:
    """A code base on which agents can now work."""
    return save(Project(**new.model_dump()))


# Agents


def list_agents(wanted: schemas.AgentListing) -> Page[Agent]:
    """Sessions, the latest first; ``live`` ones are those that have not ended."""
    statement = sa.select(Agent).where(*wanted.matches(Agent))
    if wanted.live is not None:
        statement = statement.where(Agent.ended_at.is_(None) == wanted.live)
    latest = statement.order_by(Agent.started_at.desc(), Agent.id.desc())
    return paginate(latest, wanted, joinedload(Agent.project))


def start_agent(new: schemas.NewAgent) -> Agent:
    """A session begins."""
    now = utc_now()
    return save(Agent(**new.model_dump(exclude_none=True), started_at=now, last_seen_at=now))


def end_agent(key: int) -> Agent:
    """A session ends.

    :raises Conflict: It has ended before.
    """
    agent = fetch(Agent, key, lock=True)
    _expect_live(agent)
    agent.ended_at = agent.last_seen_at = _not_before(agent.started_at)
    return save(agent)


def _expect_live(agent: Agent) -> None:
    if agent.ended_at is not None:
        raise Conflict(f"This session ended at {agent.ended_at.isoformat()}.")


def _not_before(start: datetime) -> datetime:
    # Another machine's clock may have been ahead of this one's at the start.
    return max(utc_now(), start)


# Commands


def list_commands(wanted: schemas.CommandListing) -> Page[Command]:
    """Commands, the latest first."""
    statement = sa.select(Command).where(*wanted.matches(Command))
    return paginate(statement.order_by(Command.started_at.desc(), Command.id.desc()), wanted)


def create_command(new: schemas.NewCommand) -> Command:
    """A command, idle until it is moved.

    :raises Conflict: The session has ended.
    """
    _expect_live(fetch(Agent, new.agent_id))
    return save(Command(**new.model_dump()))


def move_command(key: int, move: schemas.Move) -> Command:
    """Move a command to another state, and write the event.

    :raises Conflict: The move is not legal; the message names those that are.
    :raises Invalid: It would be commanded without an instruction.
    """
    command = fetch(Command, key, lock=True)
    start = command.state
    _expect_legal(start, move.state)
    instruction = move.instruction or command.instruction
    if move.state is CommandState.COMMANDED and instruction is None:
        raise Invalid([Fault("Needed by a command that has none", ["instruction"])])
    command.state = move.state
    command.instruction = instruction
    if move.state is CommandState.COMPLETE:
        command.completed_at = _not_before(command.started_at)
        command.completion_summary = move.completion_summary
    db.session.add(_state_changed(command, start))
    return save(command)


def _expect_legal(start: CommandState, end: CommandState) -> None:
    if not can_move(start, end):
        legal = ", ".join(sorted(MOVES[start])) or "nowhere"
        raise Conflict(f"A command cannot move from {start} to {end}. It can move to: {legal}.")


def _state_changed(command: Command, start: CommandState) -> Event:
    return Event(
        event_type=STATE_CHANGED,
        payload={"from": start.value, "to": command.state.value},
        project_id=command.agent.project_id,
        agent_id=command.agent_id,
        command=command,
    )


# Turns


def list_turns(wanted: schemas.TurnListing) -> Page[Turn]:
    """Turns in the order of the conversation."""
    statement = sa.select(Turn).where(*wanted.matches(Turn))
    return paginate(statement.order_by(Turn.timestamp, Turn.id), wanted)


def create_turn(new: schemas.NewTurn) -> Turn:
    """Somebody speaks, and may thereby answer an earlier turn of the same command.

    :raises Invalid: That turn belongs to another command.
    :raises Conflict: It is answered already.
    """
    turn = Turn(**new.model_dump(exclude={"answers_turn_id"}))
    if new.answers_turn_id is not None:
        _answer(fetch(Turn, new.answers_turn_id, lock=True), turn)
    return save(turn)


def _answer(question: Turn, answer: Turn) -> None:
    if question.command_id != answer.command_id:
        raise Invalid([Fault("This turn belongs to another command", ["answers_turn_id"])])
    if question.answered_by_turn_id is not None:
        raise Conflict(f"This turn is answered by turn {question.answered_by_turn_id}.")
    question.answered_by = answer


# Events


def list_events(wanted: schemas.EventListing) -> Page[Event]:
    """The audit trail, the newest entry first."""
    statement = sa.select(Event).where(*wanted.matches(Event))
    return paginate(statement.order_by(Event.timestamp.desc(), Event.id.desc()), wanted)


def record_event(new: schemas.NewEvent) -> Event:
    """Something happened."""
    return save(Event(**new.model_dump()))


# Objectives


def list_objectives(wanted: schemas.ObjectiveListing) -> Page[Objective]:
    """Objectives, the one set last first."""
    statement = sa.select(Objective).where(*wanted.matches(Objective))
    return paginate(statement.order_by(Objective.set_at.desc(), Objective.id.desc()), wanted)


def create_objective(text: schemas.ObjectiveText) -> Objective:
    """An objective, whose history begins with its first text."""
    objective = Objective()
    _set(objective, text, utc_now())
    return save(objective)


def set_objective(key: int, text: schemas.ObjectiveText) -> Objective:
    """An objective says something else from now on; its history keeps what it said."""
    objective = fetch(Objective, key, lock=True)
    now = _not_before(objective.set_at)
    for entry in objective.history:
        # An entry may have been written by a machine whose clock was ahead.
        entry.ended_at = entry.ended_at or max(now, entry.started_at)
    _set(objective, text, now)
    return save(objective)


def _set(objective: Objective, text: schemas.ObjectiveText, now: datetime) -> None:
    objective.current_text = text.text
    objective.constraints = text.constraints
    objective.priority_enabled = text.priority_enabled
    objective.set_at = now
    objective.history.append(
        ObjectiveHistory(text=text.text, constraints=text.constraints, started_at=now)
    )
