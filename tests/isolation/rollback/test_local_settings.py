"""Which settings a statement may set locally, and how they are restored."""

from __future__ import annotations

from typing import Any

import pytest

from flask_testbed.isolation.rollback.local_settings import names_in, write


@pytest.mark.parametrize(
    ("text", "parameters", "name"),
    [
        ("SET LOCAL Work_Mem = '1MB'", None, "work_mem"),
        ('SET LOCAL "app.user" = 1', None, "app.user"),
        ("SET LOCAL TIME ZONE 'Asia/Tokyo'", None, "timezone"),
        ("SET LOCAL SESSION AUTHORIZATION a", None, "session_authorization"),
        ("SELECT set_config('a.b', 'c', true)", None, "a.b"),
        ("SELECT set_config(%s, %s, %s)", ["a.b", "c", True], "a.b"),
        ("SELECT set_config(%(n)s, %(v)s, true)", {"n": "App.User", "v": "c"}, "app.user"),
        ("DO $$ BEGIN EXECUTE 'SET LOCAL a.b = 1'; END $$", None, "a.b"),
    ],
)
def test_the_name_of_a_setting_is_among_the_words(text: str, parameters: Any, name: str) -> None:
    assert name in names_in(text, parameters)


def test_a_value_that_cannot_be_a_name_is_left_out() -> None:
    names = names_in("SELECT set_config(%s, %s, true)", ["a.b", "it is 'c'; --"])
    assert all("'" not in name and " " not in name for name in names)


def test_the_role_is_restored_before_what_needs_its_rights() -> None:
    settings = {"log_statement": "none", "role": "none", "session_authorization": "postgres"}
    (command,) = write(settings)
    positions = [command.index(name) for name in ("session_auth", "role", "log_statement")]
    assert positions == sorted(positions)


def test_what_is_no_setting_is_not_written() -> None:
    assert write({"select": None, "transaction_read_only": "on"}) == []
    (command,) = write({"app.tenant": None})
    assert '{"app.tenant": ""}' in command
