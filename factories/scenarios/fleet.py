"""The last month of a fleet: what its agents did, and what people thought of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from app.governance.models import (
    AgentExecution,
    AgentRegistry,
    AgentStatus,
    CanvasAction,
    CanvasResult,
    Episode,
    EpisodeType,
    ExecutionStatus,
    FeedbackStatus,
    FeedbackType,
    SegmentType,
    TriggerSource,
    User,
)
from factories.governance import (
    AgentExecutionFactory,
    AgentFactory,
    AgentFeedbackFactory,
    CanvasAuditFactory,
    EpisodeFactory,
    EpisodeSegmentFactory,
)
from factories.scenarios.calendar import Calendar
from factories.scenarios.company import AGENTS, AgentProfile, Task
from factories.scenarios.words import Words
from flask_testbed.randomness import random_uuid
from flask_testbed.seeds import Seed

__all__ = ["History", "record_history"]

EXECUTIONS, EPISODES, CANVASES = 24, 3, 4
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MATURITIES = list(AgentStatus)


@dataclass(frozen=True)
class Conduct:
    """How an agent of some maturity gets on."""

    #: Of 25 executions, how many are completed, fail, are cancelled, take too long.
    outcomes: tuple[int, int, int, int]
    #: How often a person says what they think of an answer, and how often that is a correction.
    judged: float
    corrected: float
    interventions: tuple[int, int]
    score: tuple[float, float]


CONDUCT = {
    AgentStatus.STUDENT: Conduct((14, 7, 2, 2), 0.50, 0.70, (1, 4), (0.55, 0.80)),
    AgentStatus.INTERN: Conduct((18, 4, 2, 1), 0.40, 0.50, (0, 3), (0.70, 0.90)),
    AgentStatus.SUPERVISED: Conduct((22, 2, 1, 0), 0.25, 0.30, (0, 1), (0.85, 0.97)),
    AgentStatus.AUTONOMOUS: Conduct((24, 1, 0, 0), 0.15, 0.10, (0, 0), (0.94, 1.00)),
}
OUTCOMES = [
    ExecutionStatus.COMPLETED,
    ExecutionStatus.FAILED,
    ExecutionStatus.CANCELLED,
    ExecutionStatus.TIMEOUT,
]
#: What is still going on at the end, by the agent's place in the fleet.
UNFINISHED = [
    ExecutionStatus.RUNNING,
    ExecutionStatus.PENDING,
    None,
    ExecutionStatus.PAUSED,
    ExecutionStatus.RUNNING,
    None,
]
TIMEOUT_MS = 300_000
USUAL_EPISODES = [EpisodeType.TASK, EpisodeType.TASK, EpisodeType.INTERACTION]
CANVAS_ACTIONS = {
    CanvasResult.SUCCESS: CanvasAction.SUBMIT,
    CanvasResult.CANCELLED: CanvasAction.CLOSE,
    CanvasResult.ERROR: CanvasAction.EXECUTE,
}
CANVAS_VERBS = {
    CanvasResult.SUCCESS: "accepted",
    CanvasResult.CANCELLED: "closed",
    CanvasResult.ERROR: "wanted to run",
}


@dataclass
class History:
    """An agent, and what its history is made from."""

    profile: AgentProfile
    agent: AgentRegistry
    people: list[User]
    calendar: Calendar
    words: Words
    seed: Seed
    #: When it became what it is now; None if it was that for the whole month.
    promoted_at: datetime | None = None
    _outcomes: dict[AgentStatus, list[ExecutionStatus]] = field(default_factory=dict)

    @property
    def random(self) -> Random:
        """The scenario's source of chance."""
        return self.seed.random

    def maturity_at(self, moment: datetime) -> AgentStatus:
        """What the agent was at some moment of the month."""
        if self.promoted_at is None or moment >= self.promoted_at:
            return self.agent.status
        return MATURITIES[MATURITIES.index(self.agent.status) - 1]

    def outcome(self, maturity: AgentStatus) -> ExecutionStatus:
        """How the next execution ends: by lot, but in the shares that belong to the maturity."""
        if not self._outcomes.get(maturity):
            shares = CONDUCT[maturity].outcomes
            lots = [outcome for outcome, n in zip(OUTCOMES, shares, strict=True) for _ in range(n)]
            self.random.shuffle(lots)
            self._outcomes[maturity] = lots
        return self._outcomes[maturity].pop()

    def story(self) -> tuple[Task, dict[str, str]]:
        """One of the agent's tasks, and what its sentences speak of."""
        return self.random.choice(self.profile.tasks), self.words.gaps()


def record_history(
    seed: Seed,
    profile: AgentProfile,
    number: int,
    *,
    people: list[User],
    calendar: Calendar,
    words: Words,
) -> AgentRegistry:
    """Draft the agent of a profile, with all that it did in the last month.

    ``number`` is its place in the fleet, from 0; it decides what the agent is doing at the end.
    """
    copy = number // len(AGENTS) + 1
    agent: AgentRegistry = seed.draft(
        AgentFactory,
        name=profile.name if copy == 1 else f"{profile.name} {copy}",
        category=profile.category,
        status=profile.status,
        capabilities=list(profile.capabilities),
        description=profile.description,
        version=f"{1 + MATURITIES.index(profile.status)}.{seed.random.randint(0, 9)}.0",
        created_at=calendar.in_office(200, 60),
    )
    history = History(profile, agent, people, calendar, words, seed)
    if profile.status in (AgentStatus.INTERN, AgentStatus.SUPERVISED):
        history.promoted_at = calendar.in_office(18, 10)
    _record_executions(history)
    _record_unfinished(history, UNFINISHED[number % len(UNFINISHED)])
    _record_episodes(history)
    _record_canvases(history)
    return agent


def _record_executions(history: History) -> None:
    calendar = history.calendar
    if history.profile.trigger is TriggerSource.SCHEDULED:
        moments = [calendar.at_night(back) for back in range(EXECUTIONS, 0, -1)]
    else:
        moments = sorted(calendar.in_office(30, 2) for _ in range(EXECUTIONS))
    for moment in moments:
        execution, gaps, task = _record_execution(history, moment)
        judged = CONDUCT[execution.maturity_at_execution].judged
        completed = execution.status is ExecutionStatus.COMPLETED
        if completed and history.random.random() < judged:
            _record_feedback(history, execution, task.correction.format(**gaps))


def _record_execution(
    history: History, moment: datetime
) -> tuple[AgentExecution, dict[str, str], Task]:
    maturity = history.maturity_at(moment)
    status = history.outcome(maturity)
    task, gaps = history.story()
    duration = _duration_ms(history.random, status)
    execution = history.seed.draft(
        AgentExecutionFactory,
        agent=history.agent,
        status=status,
        user_request=task.request.format(**gaps),
        trigger_source=history.profile.trigger,
        started_at=moment,
        completed_at=moment + timedelta(milliseconds=duration),
        duration_ms=duration,
        # An answer costs about as many tokens as it takes time.
        tokens_used=duration // 20 + history.random.randint(150, 900),
        maturity_at_execution=maturity,
        supervision_session_id=random_uuid() if maturity is AgentStatus.SUPERVISED else None,
        **_outcome(status, task, gaps),
    )
    return execution, gaps, task


def _outcome(status: ExecutionStatus, task: Task, gaps: dict[str, str]) -> dict[str, str]:
    if status is ExecutionStatus.COMPLETED:
        return {"response_summary": task.response.format(**gaps)}
    if status is ExecutionStatus.FAILED:
        return {"error_message": task.error.format(**gaps)}
    return {}


def _duration_ms(random: Random, status: ExecutionStatus) -> int:
    if status is ExecutionStatus.TIMEOUT:
        return TIMEOUT_MS
    if status is ExecutionStatus.COMPLETED:
        # Most take some twenty seconds, and a few a whole minute or two.
        return min(int(random.lognormvariate(9.9, 0.5)), TIMEOUT_MS - 1)
    return random.randint(900, 25_000)


def _record_unfinished(history: History, status: ExecutionStatus | None) -> None:
    if status is None:
        return
    task, gaps = history.story()
    history.seed.draft(
        AgentExecutionFactory,
        agent=history.agent,
        status=status,
        user_request=task.request.format(**gaps),
        trigger_source=history.profile.trigger,
        started_at=history.calendar.ago(2 * MINUTE, 12 * MINUTE),
    )


def _record_feedback(history: History, execution: AgentExecution, correction: str) -> None:
    assert execution.completed_at is not None
    calendar, random = history.calendar, history.random
    created = execution.completed_at + calendar.between(5 * MINUTE, 6 * HOUR)
    adjudicated = created + calendar.between(HOUR, 3 * DAY)
    kind = _kind(random, CONDUCT[execution.maturity_at_execution].corrected)
    ruled = adjudicated < calendar.as_of and kind is not FeedbackType.COMMENT
    history.seed.draft(
        AgentFeedbackFactory,
        execution=execution,
        user=random.choice(history.people),
        feedback_type=kind,
        original_output=execution.response_summary,
        user_correction=correction if kind is FeedbackType.CORRECTION else None,
        status=_ruling(random) if ruled else FeedbackStatus.PENDING,
        created_at=created,
        adjudicated_at=adjudicated if ruled else None,
    )


def _kind(random: Random, corrected: float) -> FeedbackType:
    if random.random() < corrected:
        return FeedbackType.CORRECTION
    return random.choice([FeedbackType.RATING, FeedbackType.APPROVAL, FeedbackType.COMMENT])


def _ruling(random: Random) -> FeedbackStatus:
    return random.choices([FeedbackStatus.ACCEPTED, FeedbackStatus.REJECTED], [4, 1])[0]


def _record_episodes(history: History) -> None:
    calendar = history.calendar
    starts = sorted(calendar.in_office(28, 3) for _ in range(EPISODES))
    episodes = [_record_episode(history, start) for start in starts]
    # What was learnt first has become a part of what was learnt last.
    episodes[0].is_consolidated = True
    episodes[0].consolidated_into = episodes[-1]
    if history.promoted_at is not None:
        _record_promotion(history, history.promoted_at)


def _record_episode(history: History, start: datetime) -> Episode:
    calendar, random = history.calendar, history.random
    maturity = history.maturity_at(start)
    task, gaps = history.story()
    end = start + calendar.between(10 * MINUTE, 90 * MINUTE)
    trains = maturity is AgentStatus.STUDENT
    episode: Episode = history.seed.draft(
        EpisodeFactory,
        agent=history.agent,
        title=f"{history.profile.name}: {task.request.format(**gaps)}",
        summary=task.response.format(**gaps),
        episode_type=EpisodeType.TRAINING if trains else random.choice(USUAL_EPISODES),
        maturity_at_start=maturity,
        started_at=start,
        ended_at=end,
        intervention_count=random.randint(*CONDUCT[maturity].interventions),
        constitutional_score=_score(random, maturity),
        decay_factor=round(0.98 ** (calendar.as_of - end).days, 3),
        last_accessed_at=calendar.clip(end + calendar.between(HOUR, 5 * DAY)),
        access_count=random.randint(1, 9),
    )
    _record_segments(history, episode, task, gaps)
    return episode


def _score(random: Random, maturity: AgentStatus) -> float:
    return round(random.uniform(*CONDUCT[maturity].score), 3)


def _record_segments(history: History, episode: Episode, task: Task, gaps: dict[str, str]) -> None:
    colleague = history.random.choice(history.people).first_name
    parts = [
        (SegmentType.TASK, f"{colleague} asked: {task.request.format(**gaps)}"),
        (SegmentType.OBSERVATION, f"A case to remember: {task.error.format(**gaps)}"),
        (SegmentType.INTERACTION, f"{colleague} said: {task.correction.format(**gaps)}"),
        (SegmentType.OUTCOME, task.response.format(**gaps)),
    ]
    if not episode.intervention_count:
        del parts[2]
    for order, (kind, content) in enumerate(parts):
        history.seed.draft(
            EpisodeSegmentFactory,
            episode=episode,
            sequence_order=order,
            segment_type=kind,
            content_summary=content,
        )


def _record_promotion(history: History, moment: datetime) -> None:
    """The review after which the agent was trusted with more."""
    before = history.maturity_at(moment - MINUTE)
    now = history.agent.status
    reviewer = history.random.choice(history.people)
    end = moment + 45 * MINUTE
    history.seed.draft(
        EpisodeFactory,
        agent=history.agent,
        title=f"{history.profile.name} becomes {now}",
        summary=(
            f"{reviewer.first_name} {reviewer.last_name} went through the work of the last weeks,"
            f" and {history.profile.name} is {now} from now on, no longer {before}."
        ),
        episode_type=EpisodeType.REVIEW,
        maturity_at_start=before,
        maturity_at_end=now,
        started_at=moment,
        ended_at=end,
        constitutional_score=_score(history.random, now),
        last_accessed_at=history.calendar.clip(end + history.calendar.between(HOUR, 5 * DAY)),
    )


def _record_canvases(history: History) -> None:
    for _ in range(CANVASES):
        _record_canvas(history)


def _record_canvas(history: History) -> None:
    calendar, random = history.calendar, history.random
    presented = calendar.in_office(25, 2)
    maturity = history.maturity_at(presented)
    fine, failed, *_ = CONDUCT[maturity].outcomes
    result = random.choices(list(CanvasResult), [fine, 25 - fine - failed, failed])[0]
    task, gaps = history.story()
    person = random.choice(history.people)
    verb = CANVAS_VERBS[result]
    history.seed.draft(
        CanvasAuditFactory,
        agent=history.agent,
        user=person,
        canvas_type=history.profile.canvas,
        action=CANVAS_ACTIONS[result],
        canvas_data={
            "title": task.request.format(**gaps),
            "components": [
                {"type": "text", "value": task.response.format(**gaps)},
                {"type": "button", "label": "Accept"},
                {"type": "button", "label": "Not like this"},
            ],
        },
        interaction_summary=f"{person.first_name} {verb} what {history.profile.name} showed.",
        presented_at=presented,
        closed_at=presented + calendar.between(20 * timedelta(seconds=1), 12 * MINUTE),
        result_status=result,
        error_details=task.error.format(**gaps) if result is CanvasResult.ERROR else None,
    )
