"""What an application answers when something goes wrong before the database is asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.api.problems import Fault, pointer

PROBLEM = "application/problem+json"


@pytest.fixture
def own_app() -> Flask:
    """An application whose database nobody asks for anything."""
    made = create_app({"SQLALCHEMY_DATABASE_URI": "postgresql://localhost/nowhere"})

    @made.get("/api/broken")
    @made.get("/broken")
    def broken() -> str:
        raise ZeroDivisionError("a secret")

    return made


@pytest.fixture
def own_client(own_app: Flask) -> Iterator[FlaskClient]:
    with own_app.test_client() as client:
        yield client


@pytest.mark.parametrize(
    ("method", "url", "status", "title"),
    [
        ("GET", "/api/nowhere", 404, "Not Found"),
        ("GET", "/api/governance", 404, "Not Found"),
        ("GET", "/api/governance/users/7", 404, "Not Found"),
        ("GET", "/api/workspace/projects/0", 404, "Not Found"),
        ("PATCH", "/api/governance/users", 405, "Method Not Allowed"),
        ("POST", "/api/governance/users", 415, "Unsupported Media Type"),
        ("GET", "/api/broken", 500, "Internal Server Error"),
    ],
)
def test_the_interface_answers_with_a_problem(
    own_client: FlaskClient, method: str, url: str, status: int, title: str
) -> None:
    response = own_client.open(url, method=method)
    assert (response.status_code, response.mimetype) == (status, PROBLEM)
    assert response.json is not None
    assert response.json["status"] == status
    assert response.json["title"] == title
    assert response.json["type"] == "about:blank"
    assert response.json["errors"] == []
    assert "secret" not in response.text


@pytest.mark.parametrize(("url", "status"), [("/nowhere", 404), ("/broken", 500), ("/api", 404)])
def test_the_pages_answer_as_flask_does(own_client: FlaskClient, url: str, status: int) -> None:
    response = own_client.get(url)
    assert (response.status_code, response.mimetype) == (status, "text/html")


def test_a_problem_keeps_the_headers_that_belong_to_it(own_client: FlaskClient) -> None:
    allowed = own_client.delete("/api/governance/users").headers["Allow"]
    assert set(allowed.split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


def test_a_body_that_is_too_large_is_refused(own_client: FlaskClient) -> None:
    body = b'{"email": "' + b"x" * 1024 * 1024 + b'"}'
    response = own_client.post("/api/governance/users", data=body, content_type="application/json")
    assert (response.status_code, response.mimetype) == (413, PROBLEM)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ((), "#"),
        (("name",), "#/name"),
        (("segments", 1, "title"), "#/segments/1/title"),
        (("a/b", "c~d", "~1"), "#/a~1b/c~0d/~01"),
        (("",), "#/"),
    ],
)
def test_a_pointer_is_written_as_rfc_6901_says(path: tuple[str | int, ...], expected: str) -> None:
    assert pointer(path) == expected
    assert Fault("No", path, "query").as_json() == {
        "in": "query",
        "pointer": expected,
        "message": "No",
    }
