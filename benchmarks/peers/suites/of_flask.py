"""What is tested: an application of Flask. The isolation comes from another plugin."""

from __future__ import annotations

import os

import pytest
from flask import Flask
from flask.testing import FlaskClient

from benchmarks.peers.models import make_app

each = pytest.mark.parametrize("number", range(int(os.environ["BENCHMARK_TESTS"])))


@pytest.fixture(scope="session")
def app() -> Flask:
    return make_app(os.environ["BENCHMARK_URL"])


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@each
def test_client(client: FlaskClient, number: int) -> None:
    name = f"shelf {number}"
    assert client.post("/shelves", json={"name": name}).status_code == 201
    found = client.get(f"/shelves/{name}").get_json()
    assert found["name"] == name


@each
def test_nothing(number: int) -> None:
    assert number >= 0
