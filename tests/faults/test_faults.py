"""Some faults at some moments. All of them: ``python -m tests.faults``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.faults import FAULTS
from tests.faults.matrix import suffer
from tests.faults.moments import MOMENTS
from tests.faults.scene import on_stock
from tests.support.processes import Python
from tests.support.servers import Stock

SOME = [
    ("template: tables made, no label", "no connection left"),
    ("create: clone copied", "SIGKILL"),
    ("create: template held", "the name is taken"),
    ("reset: both are there", "backends ended"),
    ("snapshot restore: swapped", "SIGKILL"),
    ("drop: before", "SIGTERM"),
    ("pytest: in a test", "a stranger connects"),
    ("pytest: in a test", "transactions left open"),
]


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(("moment", "fault"), SOME)
def test_nothing_is_lost_half_made_or_left(
    stock: Stock, python: Python, tmp_path: Path, moment: str, fault: str
) -> None:
    (when,) = (one for one in MOMENTS if one.name == moment)
    (what,) = (one for one in FAULTS if one.name == fault)

    suffer(on_stock(stock, tmp_path, python), when, what)


def test_there_are_many_combinations() -> None:
    assert len(MOMENTS) * len(FAULTS) >= 40
    assert len({moment.name for moment in MOMENTS}) == len(MOMENTS)
