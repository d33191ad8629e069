"""The error for what rollback mode cannot do."""

from __future__ import annotations

from ...errors import IsolationError


def refusal(what: str) -> IsolationError:
    """The error for what rollback mode cannot do, with the way out."""
    return IsolationError(
        f"{what} Rollback mode cannot do that. Give the test real commits, with"
        ' @pytest.mark.isolation("commit") or --testbed-isolation=commit.'
    )
