"""What is tested: an application of Django, with each of pytest-django's ways to isolate."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.test.utils import setup_databases, teardown_databases

from benchmarks.peers.suites.shelves.models import Shelf

each = pytest.mark.parametrize("number", range(int(os.environ["BENCHMARK_TESTS"])))
isolation = os.environ["BENCHMARK_ISOLATION"]
pytestmark = pytest.mark.usefixtures(isolation)


@pytest.fixture(scope="session")
def no_isolation(django_test_environment: None, django_db_blocker: Any) -> Iterator[None]:
    """The base: the rows stay."""
    with django_db_blocker.unblock():
        # pytest-django does it for tests that it isolates alone.
        made = setup_databases(verbosity=0, interactive=False)
        yield
        teardown_databases(made, verbosity=0)


@each
def test_models(number: int) -> None:
    Shelf.objects.create(name=f"shelf {number}")
    assert Shelf.objects.get(name=f"shelf {number}").made


@each
def test_client(client: Client, number: int) -> None:
    name = f"shelf {number}"
    made = client.post("/shelves", {"name": name}, content_type="application/json")
    assert made.status_code == 201
    assert client.get(f"/shelves/{name}").json()["name"] == name
