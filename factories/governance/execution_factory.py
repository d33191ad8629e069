"""Executions: the requests that agents work on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import factory
from factory.declarations import BaseDeclaration

from app.governance.models import AgentExecution, ExecutionStatus, TriggerSource
from factories.base import BaseFactory
from factories.governance.agent_factory import AgentFactory
from flask_testbed.factories import Ago, Uuid
from flask_testbed.randomness import generator

__all__ = ["ENDED", "AgentExecutionFactory"]

#: The states of an execution that is over.
ENDED = frozenset(
    {
        ExecutionStatus.COMPLETED,
        ExecutionStatus.FAILED,
        ExecutionStatus.CANCELLED,
        ExecutionStatus.TIMEOUT,
    }
)


class _Duration(BaseDeclaration):  # type: ignore[misc]  # factory_boy is Any to mypy
    """How long it took, in milliseconds, if it is over: until its end, if the call gives one."""

    def evaluate(self, instance: Any, step: Any, extra: dict[str, Any]) -> int:
        if step.builder.extras.get("completed_at") is not None:
            duration: timedelta = instance.completed_at - instance.started_at
            return duration // timedelta(milliseconds=1)
        return generator().randint(800, 90_000) if instance.status in ENDED else 0


def _completed_at(execution: Any) -> Any:
    if execution.status not in ENDED:
        return None
    return execution.started_at + timedelta(milliseconds=execution.duration_ms)


def _tokens_used(execution: Any) -> int:
    waits = execution.status == ExecutionStatus.PENDING
    return 0 if waits else generator().randint(200, 6_000)


class AgentExecutionFactory(BaseFactory[AgentExecution]):
    """A completed execution, with its agent. The other states are traits.

    A call that gives ``status`` gets the same as from the trait: what an execution in that state
    must have, and nothing that it must not.
    """

    class Params:
        pending = factory.Trait(status=ExecutionStatus.PENDING)
        running = factory.Trait(status=ExecutionStatus.RUNNING)
        completed = factory.Trait(status=ExecutionStatus.COMPLETED)
        failed = factory.Trait(status=ExecutionStatus.FAILED)
        cancelled = factory.Trait(status=ExecutionStatus.CANCELLED)
        paused = factory.Trait(status=ExecutionStatus.PAUSED)
        timeout = factory.Trait(status=ExecutionStatus.TIMEOUT)

        webhook = factory.Trait(trigger_source=TriggerSource.WEBHOOK)
        scheduled = factory.Trait(trigger_source=TriggerSource.SCHEDULED)
        api = factory.Trait(trigger_source=TriggerSource.API)

        watched = factory.Trait(supervision_session_id=Uuid())

    id = Uuid()
    agent = factory.SubFactory(AgentFactory)
    user_request = factory.Faker("sentence", nb_words=9)
    status = ExecutionStatus.COMPLETED
    trigger_source = TriggerSource.MANUAL
    started_at = Ago(timedelta(hours=1), timedelta(days=14))
    duration_ms = _Duration()
    completed_at = factory.LazyAttribute(_completed_at)
    response_summary = factory.Maybe(
        factory.LazyAttribute(lambda execution: execution.status == ExecutionStatus.COMPLETED),
        yes_declaration=factory.Faker("paragraph", nb_sentences=2),
        no_declaration=None,
    )
    error_message = factory.Maybe(
        factory.LazyAttribute(lambda execution: execution.status == ExecutionStatus.FAILED),
        yes_declaration=factory.Faker("sentence", nb_words=8),
        no_declaration=None,
    )
    tokens_used = factory.LazyAttribute(_tokens_used)
    maturity_at_execution = factory.SelfAttribute("agent.status")
    supervision_session_id = None
