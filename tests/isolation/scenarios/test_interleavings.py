"""Random interleavings: each step sees what it would on a bare database, and nothing is left.

A few in each run; a thousand by ``TESTBED_INTERLEAVINGS=1000 pytest`` and this file.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from flask_testbed import IsolationError
from tests.support.scenarios.interleaving import (
    AUTOCOMMIT,
    ENDS,
    READS,
    SAVEPOINTS,
    SESSIONS,
    WRITES,
    Step,
    one_writer_at_a_time,
    play,
)
from tests.support.scenarios.stage import Stage

EXAMPLES = int(os.environ.get("TESTBED_INTERLEAVINGS", "10"))

_RARE = ("kill", "make table", "drop table", "truncate")
_COMMON = sorted({*WRITES, *READS, *SAVEPOINTS, *ENDS} - set(_RARE))

# Common actions are drawn more often, and an end more often than a single write.
ACTIONS = st.sampled_from([*_COMMON * 3, *ENDS * 6, "insert", "read", *_RARE])
STEP = st.builds(Step, st.integers(0, SESSIONS - 1), ACTIONS, st.sampled_from("abc")).filter(
    lambda step: step.session != AUTOCOMMIT or step.action not in SAVEPOINTS
)
STEPS = st.lists(STEP, min_size=1, max_size=25)
# A killed backend ends a test in rollback mode, which has but one.
STEPS_OF_THE_LIVING = st.lists(STEP.filter(lambda step: step.action != "kill"), max_size=25)

several = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@several
@given(steps=STEPS)
def test_commit_mode_is_as_a_bare_database(stage: Stage, steps: list[Step]) -> None:
    compare(stage, "commit", steps)


@several
@given(steps=STEPS_OF_THE_LIVING)
def test_rollback_mode_is_as_a_bare_database_or_refuses(stage: Stage, steps: list[Step]) -> None:
    compare(stage, "rollback", list(one_writer_at_a_time(steps)))


@several
@given(steps=STEPS_OF_THE_LIVING)
def test_whatever_is_refused_rollback_mode_leaves_nothing(stage: Stage, steps: list[Step]) -> None:
    with stage.clean():
        see(stage, "rollback", steps)
        stage.check("rollback")


def compare(stage: Stage, mode: Any, steps: list[Step]) -> None:
    """What was seen until something was refused is what a bare database shows."""
    bare: list[Any] = []
    with stage.bare.environment() as environment:
        play(environment, steps, bare)
    with stage.clean():
        seen, refused = see(stage, mode, steps)
        assert mode == "rollback" or not refused, refused
        assert seen == bare[: len(seen)]
        assert refused or len(seen) == len(bare)
        stage.check(mode)


def see(stage: Stage, mode: Any, steps: list[Step]) -> tuple[list[Any], str]:
    """What each step sees, and why the last one was refused, if it was."""
    seen: list[Any] = []
    try:
        with stage.environment(mode) as environment:
            play(environment, steps, seen)
    except Exception as error:
        refusal = _refusal(error)
        note(str(refusal))
        return seen, str(refusal)
    return seen, ""


def _refusal(error: BaseException) -> IsolationError:
    """Why a test was refused. What is closed after that may fail in its own words."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, IsolationError):
            return cause
        cause = cause.__context__
    raise error
