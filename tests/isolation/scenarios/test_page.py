"""The page about isolation names the scenarios of each row, and no others."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from tests.support.paths import ROOT

FOLDER = Path(__file__).parent
PAGE = ROOT / "docs/isolation.md"

_ROW = re.compile(r"^\| (\d+) \|", re.MULTILINE)
_TESTS = re.compile(r"^\| (\d+) \| `(test_\w+\.py)` \| (.+) \|$", re.MULTILINE)


def written() -> set[tuple[int, str, str]]:
    """Row, file and name of each scenario that there is."""
    found = set()
    for path in sorted(FOLDER.glob("test_*.py")):
        module = importlib.import_module(f"tests.isolation.scenarios.{path.stem}")
        for name, value in vars(module).items():
            if name.startswith("test_") and hasattr(value, "row"):
                found.add((value.row, path.name, name))
    return found


def test_the_page_names_every_scenario_and_no_other() -> None:
    named = {
        (int(row), file, name)
        for row, file, names in _TESTS.findall(PAGE.read_text())
        for name in re.findall(r"`(\w+)`", names)
    }
    assert named == written()


def test_every_row_has_a_scenario() -> None:
    rows = set(range(1, 37))
    assert {row for row, _, _ in written()} == rows
    behaviour = PAGE.read_text().partition("## The rows")[2].partition("\n## ")[0]
    assert [int(row) for row in _ROW.findall(behaviour)] == sorted(rows)
