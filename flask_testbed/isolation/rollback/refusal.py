"""The error for what rollback mode cannot do."""

from __future__ import annotations

from ...errors import IsolationError
from ..statements import Effects


def refusal(what: str) -> IsolationError:
    """Return the error for what rollback mode cannot do, which names the way out.

    :param what: a sentence.
    """
    return IsolationError(
        f"{what} Rollback mode cannot do that. Give the test real commits, with"
        ' @pytest.mark.isolation("commit") or --testbed-isolation=commit.'
    )


def refuse_statement(effects: Effects) -> None:
    """Refuse a statement that would end the test transaction, before it is sent.

    :raises IsolationError: it would.
    """
    if effects.two_phase:
        raise refusal("A transaction is committed in two phases.")
    if effects.control:
        raise refusal(f"A statement begins with {effects.control.upper()}.")
    if effects.isolation:
        raise refusal("A statement chooses another isolation level.")
