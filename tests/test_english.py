"""The engine is written in plain technical English, without words that hide who does what."""

from __future__ import annotations

import re

from tests.support.paths import ROOT

#: PostgreSQL's programs may run as the user ``nobody``, whose name stands in quotes.
HOMELY = re.compile(
    r"\b(somebody|(?<!['\"`])nobody|whoever|mend(s|ed|ing)?|done away|of its own making)\b",
    re.IGNORECASE,
)


def test_no_sentence_of_the_engine_is_homely() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / "flask_testbed").rglob("*"))
        if path.suffix in (".py", ".sql")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if HOMELY.search(line)
    ]
    assert found == []
