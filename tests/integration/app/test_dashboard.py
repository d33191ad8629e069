"""The page that a person looks at."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

from flask.testing import FlaskClient

import factories
from factories import workspace

VOID = {"meta", "link", "br", "img", "input"}


class Outline(HTMLParser):
    """Checks that every element is closed, and collects what an eye would see."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.ids: set[str] = set()
        self.described: set[str] = set()
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        values = {name: value or "" for name, value in attrs}
        self.ids.update(values[name] for name in ("id",) if name in values)
        self.described.update(values.get("aria-labelledby", "").split())
        self.sources += [values[name] for name in ("src", "href") if name in values]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data.split()


def look(client: FlaskClient) -> tuple[str, Outline]:
    """The text of the page, and its outline."""
    response = client.get("/")
    assert (response.status_code, response.mimetype) == (200, "text/html")
    outline = Outline()
    outline.feed(response.text)
    assert outline.open == []
    return " ".join(outline.text), outline


def fill() -> None:
    """Some of everything that the page shows."""
    for maturity in (
        factories.StudentAgentFactory,
        factories.InternAgentFactory,
        factories.SupervisedAgentFactory,
        factories.AutonomousAgentFactory,
    ):
        factories.AgentExecutionFactory(agent=maturity())
    project = factories.ProjectFactory()
    factories.CommandFactory(agent=workspace.AgentFactory(project=project, registered=True))
    workspace.AgentFactory(project=project)


def test_an_empty_database_says_how_to_fill_it(client: FlaskClient) -> None:
    text, _ = look(client)
    assert "flask seed demo" in text
    assert "Latest executions" not in text


def test_agents_are_counted_by_maturity(client: FlaskClient) -> None:
    for confidence in (0.91, 0.95):
        factories.AutonomousAgentFactory(name=f"Agent {confidence}", confidence=confidence)
    factories.StudentAgentFactory()
    text, _ = look(client)
    assert "flask seed demo" not in text
    assert re.search(r"student 1 .*intern 0 None supervised 0 None autonomous 2", text)
    assert "Mean confidence 0.93 Agent 0.95 Agent 0.91" in text


def test_of_many_agents_the_surest_are_shown(client: FlaskClient) -> None:
    for tenth in range(8):
        factories.InternAgentFactory(name=f"Agent-{tenth}", confidence=tenth / 10)
    text, _ = look(client)
    assert re.findall(r"Agent-\d", text) == [f"Agent-{tenth}" for tenth in (7, 6, 5, 4, 3)]
    assert "and 3 more" in text


def test_a_project_shows_its_live_sessions_and_their_states(client: FlaskClient) -> None:
    project = factories.ProjectFactory(name="Mail")
    sorter = factories.AgentFactory(name="Sorter")
    busy = workspace.AgentFactory(project=project, registry_id=sorter.id)
    factories.CommandFactory(agent=busy, awaiting_input=True)
    idle = workspace.AgentFactory(project=project)
    ended = workspace.AgentFactory(project=project, ended=True)
    text, _ = look(client)
    assert "Sorter awaiting input" in text
    assert f"Session {idle.id} idle" in text
    assert f"Session {ended.id}" not in text


def test_projects_at_work_come_first(client: FlaskClient) -> None:
    factories.ProjectFactory(name="Aardvark")
    workspace.AgentFactory(project=factories.ProjectFactory(name="Zebra"))
    text, _ = look(client)
    assert text.index("Zebra") < text.index("Aardvark")
    assert "No live session" in text


def test_the_latest_executions_are_shown_with_their_agents(client: FlaskClient) -> None:
    now = datetime.now(UTC)
    for hour in range(12):
        factories.AgentExecutionFactory(
            running=True, user_request=f"Request-{hour}", started_at=now - timedelta(hours=hour)
        )
    factories.AgentExecutionFactory(
        failed=True,
        user_request="Sort my mail",
        started_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC) + timedelta(days=36500),
        agent__name="Sorter",
        tokens_used=12345,
    )
    text, _ = look(client)
    assert "Sorter Sort my mail failed 09 Dec 2125, 03:04 UTC 12,345" in text
    assert re.findall(r"Request-\d+", text) == [f"Request-{hour}" for hour in range(9)]


def test_what_people_write_is_shown_as_text(client: FlaskClient) -> None:
    factories.AgentExecutionFactory(
        user_request="<script>alert(1)</script>", agent__name="<b>A</b>"
    )
    page = client.get("/").text
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;" in page


def test_the_page_takes_as_many_queries_for_many_rows_as_for_few(
    client: FlaskClient, statements: Callable[..., Any]
) -> None:
    fill()
    with statements() as few:
        look(client)
    for _ in range(4):
        fill()
    with statements() as many:
        look(client)
    assert len(many) == len(few) <= 6, many


def test_the_page_needs_nothing_from_elsewhere(client: FlaskClient) -> None:
    fill()
    _, outline = look(client)
    assert outline.described <= outline.ids
    local = [source for source in outline.sources if not source.startswith("data:")]
    assert local == ["/static/dashboard.css"]
    style = client.get(local[0])
    assert (style.status_code, style.mimetype) == (200, "text/css")
    assert not re.search(r"url\(|@import", style.text)
    style.close()
