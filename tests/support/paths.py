"""Where the repository is, and where its servers live."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: The folder of the embedded servers that all tests share.
INSTANCE = ROOT / "instance"
