"""An error of the database is explained in terms of columns and constraints."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.support.lint_toys import (
    faults,
)


@pytest.mark.parametrize(
    ("name", "kind", "columns", "constraint", "message"),
    [
        ("TooLong", "length", "name", "VARCHAR(10)", "28 characters"),
        ("TooMuch", "range", "price", "NUMERIC(5, 2)", "1000.00"),
        ("TooLarge", "range", "small", "SMALLINT", "40000"),
        ("NoSuchSize", "check", "size", "size", "tiny"),
        ("OutOfRange", "check", "rating", "rating_range", "rating_range"),
        ("Nameless", "not null", "name", None, "null value"),
        ("TwoInAPlace", "unique", "shelf place", "one_in_a_place", "(1, 1) already exists"),
        ("SameMail", "unique", "mail", "one_mail", "a@example.com"),
        ("NoParent", "foreign key", "parent_id", "of_the_parent", "(77) is not present"),
        ("NoParentInTheEnd", "foreign key", "late_id", "late", "(77) is not present"),
        ("NoUuid", "type", "key", "UUID", '"no-uuid"'),
        ("NotAdaptable", "type", "name", "VARCHAR(10)", "object object"),
        ("NoSuchAttribute", "error", "", None, "'colour' is an invalid keyword"),
        ("Raising", "error", "", None, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_fault_names_its_column_and_its_constraint(
    toy_app: Flask, name: str, kind: str, columns: str, constraint: str | None, message: str
) -> None:
    (fault,) = faults(toy_app, name)

    assert (fault.factory, fault.trait, fault.kind) == (name, None, kind)
    assert fault.columns == tuple(columns.split())
    assert fault.constraint == constraint
    assert message in fault.message
    assert fault.table == ("lint_things" if columns else None)
