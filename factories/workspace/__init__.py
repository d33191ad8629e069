"""Factories of the workspace domain: projects, and the sessions in which agents work on them."""

from __future__ import annotations

from factories.workspace.agent_factory import AgentFactory
from factories.workspace.command_factory import CommandFactory
from factories.workspace.event_factory import EventFactory
from factories.workspace.objective_factory import ObjectiveFactory, ObjectiveHistoryFactory
from factories.workspace.project_factory import ProjectFactory
from factories.workspace.turn_factory import TurnFactory

__all__ = [
    "AgentFactory",
    "CommandFactory",
    "EventFactory",
    "ObjectiveFactory",
    "ObjectiveHistoryFactory",
    "ProjectFactory",
    "TurnFactory",
]
