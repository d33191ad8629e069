"""``flask seed demo``: a small company, its agents and their last month."""

from __future__ import annotations

from typing import Any

import factory

from app.governance.models import AgentRegistry, User, UserRole, UserStatus
from factories.base import scenarios
from factories.governance import UserFactory
from factories.scenarios.calendar import Calendar
from factories.scenarios.coding import Workshop, record_objective, record_project
from factories.scenarios.company import AGENTS, DOMAIN, OBJECTIVES, PEOPLE, PROJECTS
from factories.scenarios.fleet import record_history
from factories.scenarios.words import Words
from factories.text import slug
from flask_testbed.seeds import Seed

__all__ = ["demo"]

JUDGES = {UserRole.TEAM_LEAD, UserRole.MEMBER, UserRole.ADMIN}


@scenarios.add("demo")
def demo(seed: Seed) -> None:
    """A small company, its agents at every level of trust, and what they did in the last month.

    Everybody logs in with the password of the factories, `factories.PASSWORD`.
    """
    calendar = Calendar(seed.as_of, seed.random)
    words = Words(seed.random)
    people = _hire(seed, calendar)
    judges = [user for user in people if user.role in JUDGES and user.status is UserStatus.ACTIVE]
    # The stories tell of people by their names, which are generated.
    seed.flush()
    fleet: list[AgentRegistry] = [
        record_history(seed, profile, number, people=judges, calendar=calendar, words=words)
        for number, profile in enumerate(seed.progress(AGENTS * seed.scale, "Agents"))
    ]
    seed.flush()
    engineers = [agent for agent in fleet if agent.category == "engineering"]
    workshop = Workshop(seed, engineers, calendar, words)
    for number, project in enumerate(seed.progress(PROJECTS * seed.scale, "Projects")):
        record_project(workshop, project, number)
    for texts, constraints in OBJECTIVES * seed.scale:
        record_objective(workshop, texts, constraints)


def _hire(seed: Seed, calendar: Calendar) -> list[User]:
    addresses: set[str] = set()
    email = factory.LazyAttribute(lambda user: _address(user, addresses))
    jobs = [job for job in PEOPLE * seed.scale for _ in range(job.people)]
    return [
        seed.draft(
            UserFactory,
            email=email,
            role=job.role,
            status=job.status,
            created_at=calendar.in_office(700, 40),
        )
        for job in seed.progress(jobs, "People")
    ]


def _address(user: Any, taken: set[str]) -> str:
    """The person's own address, with a number if a namesake was there before."""
    name = f"{slug(user.first_name)}.{slug(user.last_name)}"
    number = next(
        number for number in range(1, len(taken) + 2) if _numbered(name, number) not in taken
    )
    address = _numbered(name, number)
    taken.add(address)
    return address


def _numbered(name: str, number: int) -> str:
    return f"{name}{number if number > 1 else ''}@{DOMAIN}"
