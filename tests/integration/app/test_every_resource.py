"""What every collection of the interface does: create, show, list, refuse."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy

from app.api import Listing

BAD_QUERIES = {
    "page": ["0", "-1", "x", "", "1.5", "1000001", "9" * 30, "9" * 5000],
    "per_page": ["0", "-1", "101", "x", "9" * 30],
    "nonsense": ["1"],
}
BAD_JSON = [b"", b"{", b"[]", b"7", b"null", b'"text"', b"\xff\xfe", b"[" * 5000]


def model_of(resource: Any) -> type[Any]:
    model: type[Any] = resource.factory._meta.model
    return model


def bad_fields(resource: Any) -> list[tuple[str, Any]]:
    return [(name, value) for name, values in resource.bad.items() for value in values]


def test_the_table_of_resources_is_complete(app: Flask, resources: list[Any]) -> None:
    lists = {
        rule.rule
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/") and "GET" in (rule.methods or ()) and not rule.arguments
    }
    assert {resource.url for resource in resources} == lists


def test_bad_values_are_known_for_every_field(resource: Any) -> None:
    assert set(resource.bad) == set(resource.schema.model_fields)


# Create


def test_create_stores_what_was_sent_and_says_where_it_is(
    client: FlaskClient, db: SQLAlchemy, resource: Any
) -> None:
    body = resource.body()
    response = client.post(resource.url, json=body)
    assert response.status_code == 201, response.text
    shown = client.get(response.location)
    assert shown.status_code == 200
    assert shown.json == response.json

    model = model_of(resource)
    key = sa.inspect(model).primary_key[0].type.python_type(response.json["id"])
    row = db.session.get(model, key)
    columns = set(sa.inspect(model).columns.keys()) & set(body)
    stored = {name: plain(getattr(row, name)) for name in columns}
    assert stored == {name: body[name] for name in columns}
    assert columns, "nothing was compared"


def plain(value: Any) -> Any:
    if isinstance(value, uuid.UUID):
        return str(value)
    if hasattr(value, "isoformat"):
        return value.isoformat().replace("+00:00", "Z")
    return value


def test_create_needs_no_optional_field(client: FlaskClient, resource: Any) -> None:
    required = {name for name, field in resource.schema.model_fields.items() if field.is_required()}
    body = {name: value for name, value in resource.body().items() if name in required}
    # Feedback of a kind needs what that kind is for.
    if "feedback_type" in body:
        body["feedback_type"] = "comment"
    assert client.post(resource.url, json=body).status_code == 201


def test_create_names_every_missing_field_at_once(
    client: FlaskClient, refused: Callable[..., list[str]], resource: Any
) -> None:
    required = {name for name, field in resource.schema.model_fields.items() if field.is_required()}
    pointers = refused(client.post(resource.url, json={}), 400)
    assert set(pointers) == {f"#/{name}" for name in required}


def test_create_refuses_each_bad_value_and_names_its_field(
    client: FlaskClient, refused: Callable[..., list[str]], resource: Any
) -> None:
    body = resource.body()
    for name, value in bad_fields(resource):
        pointers = refused(client.post(resource.url, json=body | {name: value}), 400)
        assert pointers == [f"#/{name}"], (name, value)


def test_create_names_every_bad_field_at_once(
    client: FlaskClient, refused: Callable[..., list[str]], resource: Any
) -> None:
    worst = {name: values[0] for name, values in resource.bad.items()} | {"nonsense": 1}
    pointers = refused(client.post(resource.url, json=worst), 400)
    assert set(pointers) == {f"#/{name}" for name in worst}


def test_refused_bodies_leave_nothing_behind(
    client: FlaskClient, db: SQLAlchemy, resource: Any
) -> None:
    body = resource.body()
    count = sa.select(sa.func.count()).select_from(model_of(resource))
    before = db.session.scalar(count)
    client.post(resource.url, json=body | {"nonsense": 1})
    db.session.rollback()
    assert db.session.scalar(count) == before


@pytest.mark.parametrize("body", BAD_JSON, ids=lambda body: repr(body[:12]))
def test_create_refuses_what_is_no_json_object(
    client: FlaskClient, refused: Callable[..., list[str]], resource: Any, body: bytes
) -> None:
    response = client.post(resource.url, data=body, content_type="application/json")
    assert refused(response, 400) == ["#"]


def test_create_refuses_other_media_types(
    client: FlaskClient, refused: Callable[..., list[str]], resource: Any
) -> None:
    refused(client.post(resource.url, data="a=1", content_type="text/plain"), 415)
    refused(client.post(resource.url), 415)


def test_text_may_fill_its_column_and_not_exceed_it(
    client: FlaskClient, refused: Callable[..., list[str]], resource: Any
) -> None:
    limits = {
        name: column.type.length
        for name, column in sa.inspect(model_of(resource)).columns.items()
        if name in resource.schema.model_fields and is_limited(column.type)
    }
    full = resource.body()
    for name, limit in limits.items():
        # A character of four bytes, where any is allowed: the limit is one of characters.
        padding = "x" if name in ("email", "slug") else "\N{GRINNING FACE}"
        full[name] += padding * (limit - len(full[name]))
    assert client.post(resource.url, json=full).status_code == 201
    longer = full | {name: full[name] + "x" for name in limits}
    if limits:
        pointers = refused(client.post(resource.url, json=longer), 400)
        assert set(pointers) == {f"#/{name}" for name in limits}


def is_limited(kind: Any) -> bool:
    return isinstance(kind, sa.String) and not isinstance(kind, sa.Enum) and kind.length is not None


# Show


@pytest.mark.parametrize(
    "key", [uuid.UUID(int=0), "nonsense", "%00", 0, -1, 2**31, 2**63 - 1, 2**63, 10**30, "9" * 5000]
)
def test_an_unknown_key_is_not_found(
    client: FlaskClient, refused: Callable[..., list[str]], resource: Any, key: object
) -> None:
    assert refused(client.get(f"{resource.url}/{key}"), 404) == []


def test_show_gives_what_the_list_gives(client: FlaskClient, resource: Any) -> None:
    row = resource.factory()
    shown = client.get(f"{resource.url}/{row.id}").json
    listed = client.get(resource.url).json["items"]
    item = next(item for item in listed if item["id"] == shown["id"])
    assert item.items() <= shown.items()


def test_an_unknown_method_is_refused(
    client: FlaskClient, refused: Callable[..., list[str]], resource: Any
) -> None:
    response = client.delete(resource.url)
    refused(response, 405)
    assert set(response.headers["Allow"].split(", ")) >= {"GET", "POST"}


# List


def test_an_empty_list_has_no_pages(client: FlaskClient, resource: Any) -> None:
    expected = {"items": [], "page": 1, "per_page": 20, "total": 0, "pages": 0}
    assert client.get(resource.url).json == expected


def test_pages_hold_every_row_once_in_a_stable_order(client: FlaskClient, resource: Any) -> None:
    rows = resource.create(5)
    pages = [client.get(resource.url, query_string={"page": n, "per_page": 2}) for n in (1, 2, 3)]
    assert [[item["id"] for item in page.json["items"]] for page in pages] == [
        [plain(row.id) for row in rows[start : start + 2]] for start in (0, 2, 4)
    ]
    assert all((page.json["total"], page.json["pages"]) == (5, 3) for page in pages)


def test_a_page_beyond_the_end_is_empty(client: FlaskClient, resource: Any) -> None:
    resource.create(1)
    beyond = client.get(resource.url, query_string={"page": 1_000_000, "per_page": 100})
    assert beyond.json == {
        "items": [],
        "page": 1_000_000,
        "per_page": 100,
        "total": 1,
        "pages": 1,
    }


def test_a_list_takes_as_many_queries_for_many_rows_as_for_few(
    client: FlaskClient, statements: Callable[..., Any], resource: Any
) -> None:
    resource.create(2)
    with statements() as few:
        assert len(client.get(resource.url).json["items"]) == 2
    resource.create(8)
    with statements() as many:
        assert len(client.get(resource.url).json["items"]) == 10
    assert len(many) == len(few) == 2, many


def test_showing_takes_a_bounded_number_of_queries(
    client: FlaskClient, statements: Callable[..., Any], resource: Any
) -> None:
    row = resource.create(1)[0]
    with statements() as sent:
        client.get(f"{resource.url}/{row.id}")
    assert 1 <= len(sent) <= 3, sent


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD_QUERIES.items() for value in values]
)
def test_a_list_refuses_a_bad_query(
    client: FlaskClient,
    refused: Callable[..., list[str]],
    resource: Any,
    name: str,
    value: str,
) -> None:
    response = client.get(resource.url, query_string={name: value})
    assert refused(response, 400, "query") == [f"#/{name}"]


def test_a_list_names_every_bad_parameter_at_once(
    client: FlaskClient, refused: Callable[..., list[str]], resource: Any
) -> None:
    names = set(resource.listing.model_fields) - set(Listing.model_fields)
    query = dict.fromkeys(names, "\0") | {"page": "0", "per_page": "0", "x": "1"}
    pointers = refused(client.get(resource.url, query_string=query), 400, "query")
    assert set(pointers) == {f"#/{name}" for name in query}


def test_a_parameter_given_twice_is_refused(
    client: FlaskClient, refused: Callable[..., list[str]], resource: Any
) -> None:
    response = client.get(f"{resource.url}?page=1&page=2")
    assert refused(response, 400, "query") == ["#/page"]
