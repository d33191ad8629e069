"""The time, also in a test that has frozen it.

freezegun replaces ``time.monotonic`` and ``time.time``, and time-machine the present time. A
deadline must come nevertheless, and what was created now must not look old to other processes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

# This module is imported before a test begins.
_OFFSET = clock_gettime(CLOCK_REALTIME) - clock_gettime(CLOCK_MONOTONIC)


def seconds() -> float:
    """Return the seconds of a clock that always goes forward."""
    return clock_gettime(CLOCK_MONOTONIC)


def utc_now() -> datetime:
    """Return the present time."""
    return _BEGINNING + timedelta(seconds=_OFFSET + seconds())
