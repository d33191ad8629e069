"""Canvas audits: what agents showed to people."""

from __future__ import annotations

from datetime import timedelta

import factory

from app.governance.models import CanvasAction, CanvasAudit, CanvasResult, CanvasType
from factories.base import BaseFactory
from factories.governance.agent_factory import AgentFactory
from factories.governance.user_factory import UserFactory
from flask_testbed.factories import After, Ago, Uuid

__all__ = ["CanvasAuditFactory"]


class CanvasAuditFactory(BaseFactory[CanvasAudit]):
    """A generic canvas, presented with success, with its agent and its user."""

    class Params:
        docs = factory.Trait(canvas_type=CanvasType.DOCS)
        email = factory.Trait(canvas_type=CanvasType.EMAIL)
        sheets = factory.Trait(canvas_type=CanvasType.SHEETS)
        orchestration = factory.Trait(canvas_type=CanvasType.ORCHESTRATION)
        terminal = factory.Trait(canvas_type=CanvasType.TERMINAL)
        coding = factory.Trait(canvas_type=CanvasType.CODING)

        submit = factory.Trait(action=CanvasAction.SUBMIT)
        close = factory.Trait(action=CanvasAction.CLOSE)
        update = factory.Trait(action=CanvasAction.UPDATE)
        execute = factory.Trait(action=CanvasAction.EXECUTE)

        cancelled = factory.Trait(result_status=CanvasResult.CANCELLED)
        error = factory.Trait(result_status=CanvasResult.ERROR)

    id = Uuid()
    agent = factory.SubFactory(AgentFactory)
    user = factory.SubFactory(UserFactory)
    canvas_type = CanvasType.GENERIC
    action = CanvasAction.PRESENT
    canvas_data = factory.Dict(
        {
            "title": factory.Faker("catch_phrase"),
            "components": factory.LazyFunction(lambda: [{"type": "text"}, {"type": "button"}]),
        }
    )
    interaction_summary = factory.Faker("sentence", nb_words=10)
    presented_at = Ago(timedelta(hours=1), timedelta(days=14))
    closed_at = After("presented_at", timedelta(seconds=10), timedelta(minutes=15))
    result_status = CanvasResult.SUCCESS
    error_details = factory.Maybe(
        factory.LazyAttribute(lambda audit: audit.result_status == CanvasResult.ERROR),
        yes_declaration=factory.Faker("sentence", nb_words=8),
        no_declaration=None,
    )
