"""Text that fits where it is put."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["class_name", "slug"]


def slug(text: str, length: int = 150) -> str:
    """``text`` in lower-case ASCII letters, digits and single hyphens, cut to ``length``.

    Never empty: a text without a single such character becomes ``"x"``.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:length].strip("-") or "x"


def class_name(text: str) -> str:
    """``text`` as the name of a Python class, of at most 156 characters."""
    name = "".join(word.capitalize() for word in slug(text).split("-"))
    return f"N{name}Agent" if name[0].isdigit() else f"{name}Agent"
