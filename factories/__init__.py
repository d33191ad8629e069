"""The application's factories: ``from factories import UserFactory``, then ``UserFactory()``.

Two are called ``AgentFactory``. The one here is the governance one, an agent of the fleet;
`factories.workspace.AgentFactory` is the other, a live coding session.
"""

from __future__ import annotations

from factories.base import BaseFactory, factories
from factories.governance import (
    AdminUserFactory,
    AgentExecutionFactory,
    AgentFactory,
    AgentFeedbackFactory,
    AutonomousAgentFactory,
    CanvasAuditFactory,
    EpisodeFactory,
    EpisodeSegmentFactory,
    InternAgentFactory,
    MemberUserFactory,
    StudentAgentFactory,
    SupervisedAgentFactory,
    UserFactory,
)
from factories.governance.user_factory import PASSWORD
from factories.workspace import (
    CommandFactory,
    EventFactory,
    ObjectiveFactory,
    ObjectiveHistoryFactory,
    ProjectFactory,
    TurnFactory,
)

__all__ = [
    "PASSWORD",
    "AdminUserFactory",
    "AgentExecutionFactory",
    "AgentFactory",
    "AgentFeedbackFactory",
    "AutonomousAgentFactory",
    "BaseFactory",
    "CanvasAuditFactory",
    "CommandFactory",
    "EpisodeFactory",
    "EpisodeSegmentFactory",
    "EventFactory",
    "InternAgentFactory",
    "MemberUserFactory",
    "ObjectiveFactory",
    "ObjectiveHistoryFactory",
    "ProjectFactory",
    "StudentAgentFactory",
    "SupervisedAgentFactory",
    "TurnFactory",
    "UserFactory",
    "factories",
]
