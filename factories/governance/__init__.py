"""Factories of the governance domain: agents, people, and what they do and judge."""

from __future__ import annotations

from factories.governance.agent_factory import (
    AgentFactory,
    AutonomousAgentFactory,
    InternAgentFactory,
    StudentAgentFactory,
    SupervisedAgentFactory,
)
from factories.governance.canvas_factory import CanvasAuditFactory
from factories.governance.episode_factory import EpisodeFactory, EpisodeSegmentFactory
from factories.governance.execution_factory import AgentExecutionFactory
from factories.governance.feedback_factory import AgentFeedbackFactory
from factories.governance.user_factory import AdminUserFactory, MemberUserFactory, UserFactory

__all__ = [
    "AdminUserFactory",
    "AgentExecutionFactory",
    "AgentFactory",
    "AgentFeedbackFactory",
    "AutonomousAgentFactory",
    "CanvasAuditFactory",
    "EpisodeFactory",
    "EpisodeSegmentFactory",
    "InternAgentFactory",
    "MemberUserFactory",
    "StudentAgentFactory",
    "SupervisedAgentFactory",
    "UserFactory",
]
