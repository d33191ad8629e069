"""One seed gives one set of values, in all generators and counters."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import datetime

import factory
import pytest

from flask_testbed import randomness
from flask_testbed.factories import (
    reseed,
)
from tests.support.factory_toys import (
    DogFactory,
    FlushedOwnerFactory,
    OwnerFactory,
    PuppyFactory,
)


def names_and_numbers() -> list[object]:
    dogs = DogFactory.build_batch(3, lazy=True)
    return [
        *[(dog.name, dog.trick, dog.owner.name) for dog in dogs],
        factory.random.randgen.random(),
        randomness.random_uuid(),
    ]


def test_one_seed_gives_one_set_of_values() -> None:
    reseed("a test")
    first = names_and_numbers()
    assert names_and_numbers() != first
    reseed("a test")
    assert names_and_numbers() == first
    reseed("another test")
    assert names_and_numbers() != first


def test_numbers_seed_as_well_as_texts() -> None:
    reseed(7)
    first = names_and_numbers()
    reseed(7)
    assert names_and_numbers() == first


def test_reseeding_starts_sequences_and_iterators_over_once() -> None:
    reseed("a test")
    numbers = [OwnerFactory.build().name, DogFactory.build().owner.name]
    assert numbers == ["owner 0", "owner 1"]
    tricks = [DogFactory.build(lazy=True).trick, PuppyFactory.build(lazy=True).trick]
    assert tricks == ["sleeps", "snores"]


def test_a_descendant_that_comes_first_starts_the_shared_counter_over() -> None:
    OwnerFactory.build_batch(2)
    reseed("a test")
    assert FlushedOwnerFactory.build().name == "owner 0"
    assert OwnerFactory.build().name == "owner 1"


def test_a_counter_set_after_reseeding_keeps_its_number() -> None:
    reseed("a test")
    OwnerFactory.reset_sequence(40)
    assert OwnerFactory.build().name == "owner 40"


def test_the_streams_are_not_correlated() -> None:
    """factory_boy's own function puts its generator and Faker's into one state."""
    import faker.generator

    reseed("a test")
    OwnerFactory.build()
    drawn = {
        factory.random.randgen.random(),
        faker.generator.random.random(),
        randomness.generator().random(),
    }
    assert len(drawn) == 3


def test_the_stream_survives_what_other_plugins_do_to_factory_boy() -> None:
    reseed("a test")
    factory.random.set_random_state(random.Random(0).getstate())
    first = randomness.random_uuid()
    factory.random.set_random_state(random.Random(0).getstate())
    assert randomness.random_uuid() != first


def test_reseeding_imports_neither_factory_boy_nor_faker() -> None:
    code = (
        "import sys; from flask_testbed.randomness import reseed; reseed(1);"
        "print(sorted({'faker', 'factory'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_frozen_now_needs_a_time_zone() -> None:
    with (
        pytest.raises(ValueError, match="has no time zone"),
        randomness.frozen(datetime(2020, 1, 1)),
    ):
        pass
