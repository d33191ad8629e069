"""The time, also in a test that has frozen it.

freezegun replaces ``time.monotonic`` and ``time.time``, and time-machine the present time. A
deadline must come nevertheless, and what was created now must not look old to other processes.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from time import monotonic, time

if sys.platform != "win32":
    from time import CLOCK_MONOTONIC, clock_gettime

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def seconds() -> float:
    """Return the seconds of a clock that always goes forward."""
    if sys.platform == "win32":
        return monotonic()
    return clock_gettime(CLOCK_MONOTONIC)


# This module is imported before a test begins.
_OFFSET = time() - seconds()


def utc_now() -> datetime:
    """Return the present time."""
    return _BEGINNING + timedelta(seconds=_OFFSET + seconds())
