"""What scaffold reads in CHECK constraints."""

from __future__ import annotations

from typing import Any

import pytest

from flask_testbed.factories.scaffold.constraints.checks import Check
from flask_testbed.factories.scaffold.constraints.expressions import Unknown, parse
from flask_testbed.factories.scaffold.constraints.limits import Limits, limits_of
from flask_testbed.factories.scaffold.patterns import text_like


@pytest.mark.parametrize(
    ("text", "accepted", "refused"),
    [
        ("a = 1 OR a = 2 AND b = 3", {"a": 1, "b": 0}, {"a": 2, "b": 0}),
        ("NOT a = 1 AND b", {"a": 2, "b": True}, {"a": 2, "b": False}),
        ("a + 2 * 3 - 1 = 6", {"a": 1}, {"a": 2}),
        ("-a * 2 < -3", {"a": 2}, {"a": 1}),
        ("a BETWEEN 1 AND 3 AND b", {"a": 3, "b": True}, {"a": 4, "b": True}),
        ("a NOT BETWEEN 1 AND 3", {"a": 4}, {"a": 3}),
        ("a NOT IN ('x', 'y')", {"a": "z"}, {"a": "y"}),
        ("a LIKE 'x_%'", {"a": "xyz"}, {"a": "x"}),
        ("a = 'it''s'", {"a": "it's"}, {"a": "its"}),
        ("a = b IS TRUE", {"a": 1, "b": 1}, {"a": 1, "b": 2}),
        ("a IS NOT NULL", {"a": 1}, {"a": None}),
        ("A is not null", {"a": 1}, {"a": None}),
        ('"A" > things.b', {"A": 2, "b": 1}, {"A": 1, "b": 1}),
        ("a !~* '^X'", {"a": "y"}, {"a": "x"}),
        ("a || 'x' = 'yx'", {"a": "y"}, {"a": "z"}),
        ("(a)::text = ANY ((ARRAY['x'::varchar(3), 'y'])::text[])", {"a": "y"}, {"a": "z"}),
        ("CAST(a AS numeric(10, 2)) >= 1.5", {"a": 2}, {"a": 1}),
        ("trim(BOTH FROM a) <> ''", {"a": " x "}, {"a": " "}),
        ("num_nonnulls(a, b) = 1", {"a": 1, "b": None}, {"a": 1, "b": 2}),
        ("a > '2020-01-01'::timestamp without time zone", {"a": "2021"}, {"a": "2019"}),
    ],
)
def test_a_constraint_refuses_rows(
    text: str, accepted: dict[str, Any], refused: dict[str, Any]
) -> None:
    check = Check("check", parse(text))

    assert not check.refuses(accepted)
    assert check.refuses(refused)
    assert check.columns == frozenset(accepted)


@pytest.mark.parametrize(
    "text",
    [
        *("", "a =", "(a", "a)", "a b", "a NOT 1", "f(a", "f(a b)", "a IS 1", "a::'x'", "ARRAY[a"),
        *("a ? 'x'", "CASE WHEN a THEN b END", "a @> b", "a BETWEEN 1", "a = ANY b"),
    ],
)
def test_other_syntax_is_unknown(text: str) -> None:
    with pytest.raises(Unknown):
        parse(text)


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("a > 1 AND 5 >= a", Limits(low=1, low_excluded=True, high=5)),
        ("a IS NULL OR a < -1", Limits(high=-1, high_excluded=True)),
        ("a = 'x' OR a = 'y'", Limits(choices=("x", "y"))),
        ("length(a) > 2 AND length(a) <= 5", Limits(shortest=3, longest=5)),
        ("btrim(a) <> ''", Limits(shortest=1)),
        ("a ~ '^x'", Limits(pattern="^x")),
        ("jsonb_typeof(a) = 'array'", Limits(json_type="array")),
    ],
)
def test_constraints_limit_a_column(text: str, limits: Limits) -> None:
    assert limits_of([Check("check", parse(text))]) == {"a": limits}


@pytest.mark.parametrize(
    ("pattern", "text"),
    [("^[A-Z]{2}-\\d+$", "AA-1"), ("^(x|y)?z.$", "xza"), ("(?=x)x", None), ("(", None)],
)
def test_a_text_that_matches_a_pattern(pattern: str, text: str | None) -> None:
    assert text_like(pattern) == text
