"""Projects: the code bases that agents work on."""

from __future__ import annotations

from datetime import timedelta

import factory

from app.workspace.models import Project
from factories.base import BaseFactory
from factories.text import slug
from flask_testbed.factories import Ago, RelatedBatch, Token

__all__ = ["ProjectFactory"]


class ProjectFactory(BaseFactory[Project]):
    """A project on its main branch; its slug and its path are like no other's."""

    class Params:
        token = Token()

    name = factory.Faker("catch_phrase")
    slug = factory.LazyAttribute(lambda project: f"{slug(project.name)}-{project.token}")
    # Unique also if the call gives a slug: that of a project which is elsewhere on the disk.
    path = factory.LazyAttribute(lambda project: f"/srv/projects/{project.token}/{project.slug}")
    github_repo = factory.LazyAttribute(lambda project: f"example/{project.slug}")
    current_branch = "main"
    description = factory.Faker("sentence", nb_words=12)
    created_at = Ago(timedelta(days=60), timedelta(days=200))

    with_agents = RelatedBatch("factories.workspace.agent_factory.AgentFactory", "project")
