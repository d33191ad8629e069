"""The registry of scenarios."""

from __future__ import annotations

import pytest

from flask_testbed.errors import SeedError
from tests.support.seed_toys import (
    scenarios,
)


@pytest.mark.parametrize("name", ["library", "list"])
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    with pytest.raises(SeedError, match=f"'{name}': that name is taken"):
        scenarios.add(name)


def test_a_scenario_is_found_by_name() -> None:
    assert scenarios["library"].summary == "A shelf, and books on it."
    assert [scenario.name for scenario in scenarios] == ["library"]
    assert len(scenarios) == 1
    with pytest.raises(SeedError, match=r"called 'lbrary'. There are: library"):
        scenarios["lbrary"]
