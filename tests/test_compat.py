"""The private names of other libraries are there, and mean what the engine takes them for."""

from __future__ import annotations

import enum

import factory
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from flask_testbed import _compat

# Python and SQLAlchemy's types and constraints, for scaffold


class Colour(enum.Enum):
    RED = "red"


def test_the_operations_of_a_regular_expression() -> None:
    operations = [str(operation) for operation, _ in _compat.parse_regex("^a[b-c]{2}")]

    assert operations == ["AT", "LITERAL", "MAX_REPEAT"]


def test_the_variant_of_a_type() -> None:
    varied = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

    assert isinstance(_compat.postgresql_variant(varied), postgresql.JSONB)
    assert isinstance(_compat.postgresql_variant(sa.JSON()), sa.JSON)


def test_the_members_of_an_enumeration() -> None:
    assert _compat.enum_members(sa.Enum(Colour))["RED"] is Colour.RED


def test_a_constraint_that_a_type_made() -> None:
    kind = sa.Enum(Colour, native_enum=False, create_constraint=True)
    table = sa.Table(
        "compat_checks",
        sa.MetaData(),
        sa.Column("colour", kind),
        sa.CheckConstraint("colour <> ''", name="own"),
    )

    checks = [one for one in table.constraints if isinstance(one, sa.CheckConstraint)]

    assert {one.name == "own": _compat.belongs_to_type(one) for one in checks} == {
        True: False,
        False: True,
    }


# factory_boy's sequences, for lint


class NumberedFactory(factory.Factory):  # type: ignore[misc]  # factory_boy is Any to mypy
    class Meta:
        model = dict

    number = factory.Sequence(int)


@pytest.mark.parametrize("number", [0, 7])
def test_the_counter_of_a_sequence(number: int) -> None:
    NumberedFactory.reset_sequence(number)

    assert NumberedFactory()["number"] == number
    assert _compat.sequence_counter(NumberedFactory).seq == number + 1
