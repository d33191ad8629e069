"""The values of columns of dates and times."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from .python import call, name
from .values import DECLARATIONS, RANDOMNESS, Value, WantedValue, lazy, sequence

__all__ = ["date_value", "datetime_value", "days", "interval_value", "time_value"]

_DATE = name("datetime", "date")
_DATETIME = name("datetime", "datetime")
_TIMEDELTA = name("datetime", "timedelta")
_NOW = name(RANDOMNESS, "now")


def days(number: int) -> str:
    """Return the source of a number of days."""
    return f"{_TIMEDELTA}(days={number})"


def datetime_value(wanted: WantedValue) -> Value:
    """Return recent times; or, if they must be unique and have no time zone, consecutive ones."""
    example = datetime(2026, 1, 1, tzinfo=UTC)
    if wanted.type.timezone:
        return Value(call(name(DECLARATIONS, "Ago"), days(1), days(60)), example, unique=True)
    if wanted.unique:
        source = sequence(f"lambda n: {_DATETIME}(2000, 1, 1) + {_TIMEDELTA}(seconds=n)")
        return Value(source, example, unique=True)
    return Value(lazy(f"lambda: {_NOW}().replace(tzinfo=None)"), example)


def date_value(wanted: WantedValue) -> Value:
    """Return today; or, if they must be unique, consecutive dates."""
    if wanted.unique:
        source = sequence(f"lambda n: {_DATE}(2000, 1, 1) + {_TIMEDELTA}(days=n)")
        return Value(source, date(2000, 1, 1), unique=True)
    return Value(lazy(f"lambda: {_NOW}().date()"), date(2026, 1, 1))


def time_value(wanted: WantedValue) -> Value:
    """Return noon; or, if they must be unique, consecutive times of day."""
    if wanted.unique:
        seconds = f"{_TIMEDELTA}(seconds=n % 86400)"
        return Value(sequence(f"lambda n: ({_DATETIME}.min + {seconds}).time()"), unique=True)
    return Value(f"{name('datetime', 'time')}(12)", time(12))


def interval_value(wanted: WantedValue) -> Value:
    """Return an hour; or, if they must be unique, rising numbers of seconds."""
    if wanted.unique:
        return Value(sequence(f"lambda n: {_TIMEDELTA}(seconds=n)"), timedelta(0), unique=True)
    return Value(f"{_TIMEDELTA}(hours=1)", timedelta(hours=1))
