"""How a test is isolated, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: ``commit``: a reset restores what the test's commits have changed. ``rollback``: the test's
#: transactions are savepoints of one that is never committed.
Mode = Literal["commit", "rollback"]


@dataclass(frozen=True, slots=True)
class Isolation:
    """How one test is isolated: the value with which a sandbox begins a test."""

    mode: Mode = "commit"

    reset_sequences: bool = False
    """Whether sequences are reset in rollback mode too, as commit mode always does."""

    test: str = ""
    """Name of the test, for messages."""
