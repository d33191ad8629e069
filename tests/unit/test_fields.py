"""Which values a request may hold."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app.api.fields import (
    Count,
    JsonObject,
    Key,
    LargeCount,
    Line,
    Moment,
    Payload,
    Prose,
    Share,
)


class Everything(Payload):
    line: Line | None = None
    prose: Prose | None = None
    count: Count | None = None
    large: LargeCount | None = None
    key: Key | None = None
    share: Share | None = None
    moment: Moment | None = None
    document: JsonObject | None = None


def read(**values: Any) -> Everything:
    return Everything.model_validate_json(json.dumps(values))


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [
        ("count", 0, 2**31 - 1),
        ("large", 0, 2**63 - 1),
        ("key", 1, 2**63 - 1),
        ("share", 0, 1),
    ],
)
def test_a_number_lies_within_what_its_column_holds(name: str, lowest: int, highest: int) -> None:
    assert getattr(read(**{name: lowest}), name) == lowest
    assert getattr(read(**{name: highest}), name) == highest
    for outside in (lowest - 1, highest + 1, 10**400):
        with pytest.raises(ValidationError):
            read(**{name: outside})


def test_a_line_is_trimmed_and_prose_is_not() -> None:
    read_back = read(line="  a  b  ", prose="  a\n")
    assert (read_back.line, read_back.prose) == ("a  b", "  a\n")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_prose_is_any_text_that_postgresql_stores(text: str) -> None:
    if "\0" in text:
        with pytest.raises(ValidationError):
            read(prose=text)
    else:
        assert read(prose=text).prose == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


def is_storable(value: Any) -> bool:
    """Whether PostgreSQL stores this as JSONB."""
    if isinstance(value, dict):
        return all(is_storable(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return all(is_storable(part) for part in value)
    if isinstance(value, str):
        return "\0" not in value
    return value not in (float("inf"), float("-inf")) and value == value


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(), JSON))
def test_a_document_is_any_json_that_postgresql_stores(document: dict[str, Any]) -> None:
    if is_storable(document):
        assert read(document=document).document == document
    else:
        with pytest.raises(ValidationError):
            read(document=document)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.678901+05:30", datetime(2026, 1, 1, 21, 34, 5, 678901, UTC)),
        ("1900-01-01T00:00:00+14:00", datetime(1899, 12, 31, 10, tzinfo=UTC)),
    ],
)
def test_a_moment_is_taken_in_utc(text: str, expected: datetime) -> None:
    moment = read(moment=text).moment
    assert moment == expected
    assert moment is not None
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02T03:04:05",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "1899-12-31T23:59:59Z",
        "2200-01-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
    ],
)
def test_a_moment_without_a_zone_or_beyond_all_calendars_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        read(moment=text)


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        read(nonsense=1)
