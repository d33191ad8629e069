"""What the engine uses of other libraries although it is private or not documented.

There is a section for each library. Each entry names the version that it was seen in, and
``tests/test_compat.py`` tests that it is there.
"""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")

# Werkzeug


def unproxied(proxy: T) -> T:
    """Return the object that a proxy such as ``current_app`` stands for.

    ``LocalProxy._get_current_object`` is documented, but type checkers do not see it. Werkzeug 3.1.
    """
    found: T = proxy._get_current_object()  # type: ignore[attr-defined]
    return found
