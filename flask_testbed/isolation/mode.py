"""The two ways to undo a test."""

from __future__ import annotations

from typing import Literal

#: How a test's work is undone: by putting rows back, or by never committing.
Mode = Literal["commit", "rollback"]
