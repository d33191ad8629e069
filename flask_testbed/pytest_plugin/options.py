"""The options and settings of the plugin."""

from __future__ import annotations

import pytest

from .._compat import pytest_option
from ..sandbox.names import Keeping
from .modes import MODES


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the options and settings."""
    group = parser.getgroup("flask-testbed", "test databases (flask-testbed)")
    # pytest-django has the same two options. They are then used for both.
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
            help="with --reuse-db: create the database again, even if its schema is current",
        )
    group.addoption(
        "--keep-db",
        action="store_true",
        help="keep the test database when the run ends; the next run replaces it",
    )
    group.addoption(
        "--keep-failed-db",
        action="store_true",
        help="keep a copy of the test database as each failed test has left it",
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
        help="how tests without a marker are isolated: by real commits, after which the database"
        " is reset, or by a transaction that is rolled back",
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
        help="reset sequences in rollback mode too, as commit mode always does",
    )
    parser.addini(
        "testbed_no_database",
        type="paths",
        default=[],
        help="folders or files whose tests must not connect to a database",
    )


def keeping_of(config: pytest.Config) -> Keeping:
    """Return which test databases outlive the run.

    A conftest may create an application before pytest has read all options.
    """
    reuse, create, keep = (
        bool(pytest_option(config, name)) for name in ("reuse_db", "create_db", "keep_db")
    )
    return Keeping(reuse, create, keep)


def worker_of(config: pytest.Config) -> str:
    """Return the name of this worker of pytest-xdist (``gw0``), or an empty one without."""
    return str(getattr(config, "workerinput", {}).get("workerid", ""))
