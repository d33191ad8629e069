"""The live server: over HTTP, on the test's own database."""

from __future__ import annotations

import threading
import time
from urllib.request import urlopen

import sqlalchemy as sa
from flask import url_for

from app.governance.models import AgentRegistry
from factories import AgentFactory
from flask_testbed.pytest_plugin.live_server import LiveServer
from tests.support.waiting import PATIENCE


def get(url: str) -> str:
    with urlopen(url, timeout=PATIENCE) as response:
        return str(response.read().decode())


def test_it_serves_what_the_test_has_committed(live_server) -> None:
    agent = AgentFactory()
    assert agent.name in get(live_server.url("/api/governance/agents"))


def test_it_serves_an_empty_database_to_the_next_test(live_server) -> None:
    assert '"total":0' in get(live_server.url("/api/governance/agents")).replace(" ", "")


def test_url_for_leads_to_it(live_server) -> None:
    url = url_for("governance.list_agents", _external=True)
    assert url.startswith(live_server.url())
    assert get(url)


def test_several_requests_at_once(live_server, db) -> None:
    AgentFactory.create_batch(3)
    bodies: list[str] = []
    url = live_server.url("/api/governance/agents")
    threads = [threading.Thread(target=lambda: bodies.append(get(url))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(bodies) == 8
    assert len(set(bodies)) == 1
    assert db.session.scalar(sa.select(sa.func.count(AgentRegistry.id))) == 3


def test_it_is_there_when_start_returns_and_gone_after_stop(app) -> None:
    server = LiveServer(app)
    server.start()
    server.start()
    assert get(server.url("/"))
    started = time.monotonic()
    server.stop()
    server.stop()
    assert time.monotonic() - started < 5
    try:
        get(server.url("/"))
    except OSError:
        return
    raise AssertionError("it still answers")
