"""The testbed's own declarations: keys, tokens, moments and related rows."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import inspect

from flask_testbed import randomness
from flask_testbed.errors import FactoryError
from flask_testbed.factories import (
    After,
    Ago,
    Token,
    Uuid,
)
from tests.support.factory_toys import (
    OwnerFactory,
    ToyFactory,
)

HOUR = timedelta(hours=1)


class Thing:
    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


class ThingFactory(ToyFactory[Any]):
    class Meta:
        model = Thing
        registry = None

    key = Uuid()
    token = Token()
    seen_at = Ago(HOUR, 2 * HOUR)
    left_at = After("seen_at", HOUR)


def test_uuids_are_seeded_and_random() -> None:
    keys = [ThingFactory.build().key for _ in range(100)]
    assert len(set(keys)) == 100
    assert {key.version for key in keys} == {4}
    assert {type(key) for key in keys} == {uuid.UUID}


def test_tokens_have_their_length() -> None:
    tokens = {ThingFactory.build().token for _ in range(200)}
    assert len(tokens) == 200
    assert {len(token) for token in tokens} == {12}


def test_moments_are_aware_and_relative_to_now() -> None:
    before = datetime.now(UTC)
    thing = ThingFactory.build()
    assert before - 2 * HOUR <= thing.seen_at <= datetime.now(UTC) - HOUR
    assert thing.left_at == thing.seen_at + HOUR


def test_moments_are_relative_to_a_frozen_now() -> None:
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    with randomness.frozen(moment):
        seen = [ThingFactory.build().seen_at for _ in range(20)]
    assert moment - 2 * HOUR <= min(seen) < max(seen) <= moment - HOUR
    assert randomness.now() > moment + HOUR


def test_related_rows_are_built_when_the_row_is_built() -> None:
    owner = OwnerFactory.build(with_dogs=2, with_dogs__clever=True)
    assert [dog.trick for dog in owner.dogs] == ["sings", "sings"]
    assert all(inspect(dog).transient for dog in owner.dogs)


@pytest.mark.parametrize("size", [-1, True, "3", 1.5])
def test_related_rows_need_a_whole_number(size: object) -> None:
    with pytest.raises(FactoryError, match="is not a number of related rows"):
        OwnerFactory.build(with_dogs=size)
