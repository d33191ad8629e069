"""The options and settings of the plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .modes import MODES

if TYPE_CHECKING:
    pass


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the options."""
    group = parser.getgroup("flask-testbed", "test databases (flask-testbed)")
    # pytest-django has the same two, which then do for both.
    if not pluginmanager.hasplugin("django"):
        group.addoption(
            "--reuse-db",
            action="store_true",
            help="use the test database of the last such run, if its schema is current, and keep"
            " it",
        )
        group.addoption(
            "--create-db",
            action="store_true",
            help="with --reuse-db: make the database anew all the same",
        )
    group.addoption(
        "--keep-db",
        action="store_true",
        help="leave the test database when the run ends; the next run replaces it",
    )
    group.addoption(
        "--keep-failed-db",
        action="store_true",
        help="leave a copy of the test database as each failed test has left it",
    )
    group.addoption(
        "--testbed-seed",
        type=int,
        metavar="N",
        help="seed of the random values in factories, to run a failed test with the same data",
    )
    group.addoption(
        "--testbed-isolation",
        choices=MODES,
        help="how tests are isolated that are not marked: by real commits that are put back, or by"
        " a transaction that is rolled back",
    )
    parser.addini(
        "testbed_isolation",
        type="linelist",
        default=[],
        help="commit (the default) or rollback; for a folder or file: tests/browser = commit",
    )
    parser.addini(
        "testbed_reset_sequences",
        type="bool",
        default=False,
        help="in rollback mode, put sequences back as well, as commit mode always does",
    )
    parser.addini(
        "testbed_no_database",
        type="paths",
        default=[],
        help="folders or files whose tests must not connect to a database",
    )
