"""When things happen in a scenario: in office hours, and before the day that it describes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone
from functools import cache
from random import Random

__all__ = ["Calendar"]

#: Pacific standard time. At midnight UTC, when a scenario ends, it is four in the afternoon there:
#: people are at work, and what has just happened lies minutes back, not a night.
OFFICE = timezone(timedelta(hours=-8))
OPENS, CLOSES = time(9), time(17, 30)


@dataclass(frozen=True)
class Calendar:
    """The days before ``as_of``, of which ``random`` picks."""

    as_of: datetime
    random: Random

    def ago(self, least: timedelta, most: timedelta) -> datetime:
        """A moment between two spans before the end."""
        return self.as_of - self.between(least, most)

    def between(self, least: timedelta, most: timedelta) -> timedelta:
        """A span between two others, in whole seconds."""
        second = timedelta(seconds=1)
        return second * self.random.randint(least // second, most // second)

    def in_office(self, first: int, last: int) -> datetime:
        """A moment in office hours of a working day, ``first`` to ``last`` days back.

        ``first`` is the earlier one, and ``last`` at least 2: yesterday is not over at the end.
        """
        day = self.random.choice(_working_days(self.as_of, first, last))
        opens = datetime.combine(day, OPENS, OFFICE)
        closes = datetime.combine(day, CLOSES, OFFICE)
        return (opens + self.between(timedelta(0), closes - opens)).astimezone(UTC)

    def at_night(self, back: int) -> datetime:
        """A quarter past two, ``back`` days back: when what is scheduled runs."""
        day = self.as_of - timedelta(days=back)
        return datetime.combine(day, time(2, 15), OFFICE).astimezone(UTC)

    def clip(self, moment: datetime) -> datetime:
        """``moment``, or a minute before the end if that is earlier."""
        return min(moment, self.as_of - timedelta(minutes=1))


@cache
def _working_days(as_of: datetime, first: int, last: int) -> list[datetime]:
    """The working days among those ``first`` to ``last`` days back; all, if none of them is one."""
    days = [as_of - timedelta(days=back) for back in range(first, last - 1, -1)]
    return [day for day in days if day.weekday() < 5] or days
