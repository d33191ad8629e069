"""Whether two URLs lead to one database."""

from __future__ import annotations

import socket

import pytest
from sqlalchemy.engine import make_url

from flask_testbed.postgres.addresses import is_same_database


@pytest.mark.parametrize(
    "other",
    ["127.0.0.2", "0.0.0.0", "localhost.", "this machine's name", "?hostaddr", "PGPORT"],
)
def test_the_applications_own_database_by_yet_other_names(
    environment: pytest.MonkeyPatch, other: str
) -> None:
    own = make_url("postgresql://localhost/x_test")
    host = socket.gethostname() if other.startswith("this") else other
    url = make_url(f"postgresql://{host}/x_test")
    if other == "?hostaddr":
        url = make_url("postgresql://elsewhere.invalid/x_test?hostaddr=127.0.0.1")
    if other == "PGPORT":
        environment.setenv("PGPORT", "5433")
        url = make_url("postgresql://localhost:5433/x_test")

    assert is_same_database(own, url)
