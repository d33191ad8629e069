"""Calls of factories, plain and with their traits, once and many times."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flask import Flask

from flask_testbed.factories.lint import Fault
from tests.support.lint_toys import (
    CLEAN,
    faults,
    numbers,
)


def test_a_fault_names_the_strategies_that_show_it(toy_app: Flask) -> None:
    shown = {
        name: faults(toy_app, name)[0].strategies
        for name in ("Raising", "OutOfRange", "TwoInAPlace", "NotBuilt")
    }

    assert shown == {
        "Raising": ("build", "create", "create_batch"),
        "OutOfRange": ("create", "create_batch"),
        "TwoInAPlace": ("create_batch",),
        "NotBuilt": ("build",),
    }


def test_a_trait_is_named_if_the_fault_is_its_own(toy_app: Flask) -> None:
    found = faults(toy_app, "WrongTrait")

    assert [(fault.trait, fault.constraint) for fault in found] == [
        ("overrated", "rating_range"),
        ("orphaned", "of_the_parent"),
    ]


def test_what_a_plain_call_shows_is_not_told_again_of_the_traits(toy_app: Flask) -> None:
    assert [fault.trait for fault in faults(toy_app, "TooLong", samples=50)] == [None]


def test_samples_find_one_row_of_many(toy_app: Flask) -> None:
    assert faults(toy_app, "OneOfMany", samples=150) == []

    # Three traits and strategies, tried once, have taken some of the numbers.
    (fault,) = faults(toy_app, "OneOfMany", samples=250)

    assert (fault.strategies, fault.failed) == ((), 1)
    assert fault.constraint == "rating_range"
    assert 80 < fault.samples < 90


def test_samples_find_rows_that_collide_with_earlier_ones(toy_app: Flask) -> None:
    assert faults(toy_app, "NowAndThenTheSame", samples=140) == []

    found = faults(toy_app, "NowAndThenTheSame", samples=250)

    assert [(fault.constraint, fault.trait) for fault in found] == [("one_in_a_place", None)]
    assert found[0].failed > 20


@pytest.mark.parametrize("name", CLEAN)
def test_a_factory_that_is_right_has_no_fault(toy_app: Flask, name: str) -> None:
    assert faults(toy_app, name, samples=120) == []


def test_a_factory_that_needs_a_key_at_once_is_sampled_all_the_same(toy_app: Flask) -> None:
    found = faults(toy_app, "ByKey", samples=120)

    # Without a database there is no key.
    assert {fault.strategies for fault in found} == {("build",)}
    assert sum(fault.failed for fault in found) == 0


def test_the_same_seed_finds_the_same(toy_app: Flask) -> None:
    def found(seed: str) -> list[Fault]:
        found = faults(toy_app, "AtRandom", samples=60, random_seed=seed)
        # The message has a key, which the sequence of the database has given.
        return [replace(fault, message="") for fault in found]

    assert found("7") == found("7") != found("8")


def test_a_query_of_a_factory_sees_the_rows_before(toy_app: Flask) -> None:
    numbers.clear()

    assert faults(toy_app, "Counting", samples=12) == []
    assert numbers[-12:] == list(range(12))
    # Nothing was made twice: neither by the strategies nor by the samples.
    assert len(numbers) == 3 * 4 + 12
