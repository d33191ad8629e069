"""What the dashboard shows, read in a number of queries that no number of rows changes."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import joinedload, raiseload, selectinload

from app.extensions import db
from app.governance.models import AgentExecution, AgentRegistry, AgentStatus
from app.workspace.models import Agent, Project

__all__ = ["Maturity", "Overview", "read_overview"]

AGENTS_SHOWN = 5
PROJECTS_SHOWN = 12
EXECUTIONS_SHOWN = 10


@dataclass(frozen=True)
class Maturity:
    """The agents of one status: how many, how sure of themselves, and the surest of them."""

    status: AgentStatus
    count: int
    confidence: float
    agents: Sequence[AgentRegistry]

    @property
    def hidden(self) -> int:
        """How many agents there are beside those that are shown."""
        return self.count - len(self.agents)


@dataclass(frozen=True)
class Overview:
    """The dashboard's content."""

    maturities: Sequence[Maturity]
    projects: Sequence[Project]
    names: Mapping[uuid.UUID, str]
    executions: Sequence[AgentExecution]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show yet."""
        agents = sum(maturity.count for maturity in self.maturities)
        return not (agents or self.projects or self.executions)


def read_overview() -> Overview:
    """Read the dashboard's content."""
    projects = _projects()
    sessions = (agent for project in projects for agent in project.agents)
    return Overview(
        maturities=_maturities(),
        projects=projects,
        names=_names(agent.registry_id for agent in sessions if agent.registry_id),
        executions=_executions(),
    )


def _maturities() -> list[Maturity]:
    statement = sa.select(
        AgentRegistry.status, sa.func.count(), sa.func.avg(AgentRegistry.confidence)
    ).group_by(AgentRegistry.status)
    figures = {status: (count, mean) for status, count, mean in db.session.execute(statement)}
    surest = _surest_agents()
    return [
        Maturity(status, *figures.get(status, (0, 0.0)), surest[status]) for status in AgentStatus
    ]


def _surest_agents() -> dict[AgentStatus, list[AgentRegistry]]:
    """The first few agents of each status, in one query."""
    order = (AgentRegistry.confidence.desc(), AgentRegistry.name, AgentRegistry.id)
    place = sa.func.row_number().over(partition_by=AgentRegistry.status, order_by=order)
    ranked = sa.select(AgentRegistry.id, place.label("place")).subquery()
    statement = (
        sa.select(AgentRegistry)
        .join(ranked, ranked.c.id == AgentRegistry.id)
        .where(ranked.c.place <= AGENTS_SHOWN)
        .order_by(*order)
        .options(raiseload("*"))
    )
    shown: dict[AgentStatus, list[AgentRegistry]] = {status: [] for status in AgentStatus}
    for agent in db.session.scalars(statement):
        shown[agent.status].append(agent)
    return shown


def _projects() -> Sequence[Project]:
    """Projects with their live sessions; those that have any come first."""
    live = Agent.ended_at.is_(None)
    statement = (
        sa.select(Project)
        .order_by(Project.agents.any(live).desc(), Project.name, Project.id)
        .limit(PROJECTS_SHOWN)
        .options(selectinload(Project.agents.and_(live)), raiseload("*"))
    )
    return db.session.scalars(statement).all()


def _names(keys: Iterable[uuid.UUID]) -> dict[uuid.UUID, str]:
    statement = sa.select(AgentRegistry.id, AgentRegistry.name)
    rows = db.session.execute(statement.where(AgentRegistry.id.in_(set(keys))))
    return {row.id: row.name for row in rows}


def _executions() -> Sequence[AgentExecution]:
    statement = (
        sa.select(AgentExecution)
        .order_by(AgentExecution.started_at.desc(), AgentExecution.id)
        .limit(EXECUTIONS_SHOWN)
        .options(joinedload(AgentExecution.agent), raiseload("*"))
    )
    return db.session.scalars(statement).all()
