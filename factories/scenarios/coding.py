"""The last weeks in the company's code: sessions, commands, what was said, what was logged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from app.governance.models import AgentRegistry
from app.workspace.models import (
    Agent,
    Command,
    CommandState,
    Objective,
    Project,
    Turn,
    TurnActor,
    TurnIntent,
)
from factories.scenarios.calendar import Calendar
from factories.scenarios.company import PROJECTS, ProjectProfile, Script
from factories.scenarios.words import Words
from factories.workspace import (
    AgentFactory,
    CommandFactory,
    EventFactory,
    ObjectiveFactory,
    ObjectiveHistoryFactory,
    ProjectFactory,
    TurnFactory,
)
from flask_testbed.seeds import Seed

__all__ = ["Workshop", "record_objective", "record_project"]

ENDED_SESSIONS, COMMANDS = 2, 3
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
STATE_CHANGED = "command.state_changed"

#: What the live session of each project is doing at the end, and how urgent that is.
LIVE = [
    (CommandState.AWAITING_INPUT, 90, "It waits for an answer, and the checkout depends on it."),
    (CommandState.PROCESSING, 70, "Fewer wrong parcels, if it works."),
    (CommandState.IDLE, None, None),
    (CommandState.COMMANDED, 40, "Useful, but nothing that is due soon."),
    (CommandState.COMPLETE, None, None),
]


@dataclass(frozen=True)
class Remark:
    """One turn of a conversation, and the state into which it brings the command, if any."""

    actor: TurnActor
    intent: TurnIntent
    text: str
    state: CommandState | None = None


@dataclass(frozen=True)
class Workshop:
    """What projects are made from."""

    seed: Seed
    fleet: list[AgentRegistry]
    calendar: Calendar
    words: Words

    @property
    def random(self) -> Random:
        """The scenario's source of chance."""
        return self.seed.random


@dataclass
class Session:
    """A session, and the hand of its clock."""

    agent: Agent
    project: Project
    clock: datetime
    workshop: Workshop

    def tick(self, least: timedelta, most: timedelta) -> datetime:
        """Let time pass."""
        self.clock += self.workshop.calendar.between(least, most)
        return self.clock


def record_project(workshop: Workshop, profile: ProjectProfile, number: int) -> Project:
    """Draft the project of a profile, with sessions that ended and one that is live.

    ``number`` is its place among the projects, from 0; it decides what the live session does.
    """
    copy = number // len(PROJECTS) + 1
    slug = profile.slug if copy == 1 else f"{profile.slug}-{copy}"
    project: Project = workshop.seed.draft(
        ProjectFactory,
        name=profile.name if copy == 1 else f"{profile.name} {copy}",
        slug=slug,
        path=f"/home/larkspur/src/{slug}",
        github_repo=f"larkspur/{slug}",
        current_branch=profile.branch,
        description=profile.description,
        created_at=workshop.calendar.in_office(400, 90),
    )
    _log(
        workshop,
        project,
        None,
        None,
        None,
        "project.registered",
        project.created_at,
        {"slug": slug},
    )
    starts = sorted(workshop.calendar.in_office(21, 3) for _ in range(ENDED_SESSIONS))
    for start in starts:
        _record_ended(workshop, profile, project, start)
    _record_live(workshop, profile, project, number)
    return project


def _record_ended(
    workshop: Workshop, profile: ProjectProfile, project: Project, start: datetime
) -> None:
    session = _start(workshop, project, start)
    for _ in range(workshop.random.randint(1, COMMANDS)):
        script = workshop.random.choice(profile.scripts)
        _record_command(session, script, CommandState.COMPLETE)
    session.agent.last_seen_at = session.tick(SECOND, MINUTE)
    session.agent.ended_at = session.tick(SECOND, 5 * MINUTE)
    _log(workshop, project, session.agent, None, None, "session.ended", session.clock, None)


def _record_live(
    workshop: Workshop, profile: ProjectProfile, project: Project, number: int
) -> None:
    state, score, reason = LIVE[number % len(LIVE)]
    # Two commands take an hour at most, and a session is heard of every few minutes.
    session = _start(workshop, project, workshop.calendar.ago(70 * MINUTE, 95 * MINUTE))
    session.agent.priority_score = score
    session.agent.priority_reason = reason
    first, *others = profile.scripts
    _record_command(session, first, CommandState.COMPLETE)
    if state is not CommandState.COMPLETE:
        _record_command(session, others[0] if others else first, state)
    session.agent.last_seen_at = workshop.calendar.ago(20 * SECOND, 5 * MINUTE)


def _start(workshop: Workshop, project: Project, start: datetime) -> Session:
    # Some sessions are people's own assistants, which the fleet does not know.
    known = workshop.random.random() < 0.75
    agent = workshop.seed.draft(
        AgentFactory,
        project=project,
        registry_id=workshop.seed.pick(workshop.fleet).id if known else None,
        started_at=start,
        last_seen_at=start,
    )
    _log(workshop, project, agent, None, None, "session.started", start, None)
    return Session(agent, project, start, workshop)


def _record_command(session: Session, script: Script, state: CommandState) -> None:
    seed, gaps = session.workshop.seed, session.workshop.words.gaps()
    command = seed.draft(
        CommandFactory,
        agent=session.agent,
        state=CommandState.IDLE,
        instruction=script.instruction.format(**gaps),
        started_at=session.tick(SECOND, 4 * MINUTE),
    )
    question: Turn | None = None
    for remark in _conversation(script, state):
        turn = seed.draft(
            TurnFactory,
            command=command,
            actor=remark.actor,
            intent=remark.intent,
            text=remark.text.format(**gaps),
            timestamp=session.tick(5 * SECOND, 4 * MINUTE),
        )
        if remark.state is not None:
            _move(session, command, turn, remark.state)
        if remark.intent is TurnIntent.QUESTION:
            question = turn
        elif remark.intent is TurnIntent.ANSWER and question is not None:
            question.answered_by = turn
    if state is CommandState.COMPLETE:
        command.completion_summary = script.summary.format(**gaps)


def _conversation(script: Script, end: CommandState) -> Iterator[Remark]:
    """What is said until the command is in the state ``end``."""
    said = [
        (CommandState.COMMANDED, TurnActor.USER, TurnIntent.COMMAND, script.instruction),
        (CommandState.PROCESSING, TurnActor.AGENT, TurnIntent.PROGRESS, script.progress),
        (CommandState.AWAITING_INPUT, TurnActor.AGENT, TurnIntent.QUESTION, script.question),
        (CommandState.PROCESSING, TurnActor.USER, TurnIntent.ANSWER, script.answer),
        (None, TurnActor.AGENT, TurnIntent.PROGRESS, script.further),
        (None, TurnActor.AGENT, TurnIntent.COMPLETION, script.completion),
        (CommandState.COMPLETE, TurnActor.AGENT, TurnIntent.END_OF_COMMAND, script.summary),
    ]
    if end is CommandState.IDLE:
        return
    for state, actor, intent, text in said:
        yield Remark(actor, intent, text, state)
        if state is end:
            return


def _move(session: Session, command: Command, turn: Turn, state: CommandState) -> None:
    """Move a command as the service does, at the moment of the turn that moves it."""
    payload = {"from": command.state.value, "to": state.value}
    command.state = state
    if state is CommandState.COMPLETE:
        command.completed_at = turn.timestamp
    agent = session.agent
    project, workshop = session.project, session.workshop
    _log(workshop, project, agent, command, turn, STATE_CHANGED, turn.timestamp, payload)


def _log(
    workshop: Workshop,
    project: Project,
    agent: Agent | None,
    command: Command | None,
    turn: Turn | None,
    event_type: str,
    timestamp: datetime,
    payload: dict[str, str] | None,
) -> None:
    workshop.seed.draft(
        EventFactory,
        project=project,
        agent=agent,
        command=command,
        turn=turn,
        event_type=event_type,
        timestamp=timestamp,
        payload=payload,
    )


def record_objective(workshop: Workshop, texts: tuple[str, ...], constraints: str) -> Objective:
    """Draft an objective that says the last of ``texts`` now, and said the others before."""
    moments = sorted(workshop.calendar.in_office(90, 5) for _ in texts)
    objective: Objective = workshop.seed.draft(
        ObjectiveFactory, current_text=texts[-1], constraints=constraints, set_at=moments[-1]
    )
    for text, start, end in zip(texts, moments, [*moments[1:], None], strict=True):
        workshop.seed.draft(
            ObjectiveHistoryFactory,
            objective=objective,
            text=text,
            constraints=constraints,
            started_at=start,
            ended_at=end,
        )
    return objective
