"""How an answer shows what a row holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

from app.api.messages import Instant, View

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Clock(View):
    time: Instant
    alarm: Instant | None = None


@pytest.mark.parametrize("hours", [0, 9, -5, 5.5])
def test_a_moment_is_shown_in_utc_whatever_the_zone_of_the_database(hours: float) -> None:
    row = SimpleNamespace(time=MOMENT.astimezone(timezone(timedelta(hours=hours))), alarm=None)
    shown = Clock.model_validate(row).model_dump_json()
    assert shown == '{"time":"2026-01-02T03:04:05Z","alarm":null}'


def test_a_view_shows_nothing_that_it_does_not_name() -> None:
    row = SimpleNamespace(time=MOMENT, alarm=None, password_hash="secret")
    assert "secret" not in Clock.model_validate(row).model_dump_json()
