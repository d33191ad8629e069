"""Savepoints, compared with a model: sessions that interleave as they like, and no server.

A model of PostgreSQL's savepoints executes the commands. What it holds is compared with what
independent transactions would have left: what was committed, and what is still open.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flask_testbed import IsolationError
from flask_testbed.isolation.rollback.catalog import Catalog
from flask_testbed.isolation.rollback.local_settings import names_in
from flask_testbed.isolation.rollback.savepoints import (
    ApplicationTransaction,
    Savepoints,
    State,
    TransactionAborted,
)
from flask_testbed.isolation.statements import Effects, effects_of
from tests.support.savepoint_model import (
    CALL,
    CATALOG,
    DECLARE,
    READ,
    READ_ONLY,
    ROLL_BACK_TO,
    SAVEPOINT,
    WRITE,
    Contents,
    Server,
    ServerError,
    perform,
)

#: A thousand by ``TESTBED_INTERLEAVINGS=1000 pytest`` and this file.
EXAMPLES = int(os.environ.get("TESTBED_INTERLEAVINGS", "100"))


@dataclass
class Session:
    """A session of an application, and what its open transaction is in production."""

    automatic: bool
    name: str
    transaction: ApplicationTransaction | None = None
    rows: frozenset[int] = frozenset()
    violating: bool = False
    local: dict[str, str] = field(default_factory=dict)
    read_only: bool = False
    cursors: frozenset[int] = frozenset()
    declared: bool = False
    """Whether it has opened a cursor, which a rollback of another session may have closed."""

    failed: bool = False
    interrupted: bool = False
    """Whether another session has sent a statement since it declared a cursor."""

    overlapped: bool = False
    """Whether another transaction had written, too, while this one had."""

    nested: tuple[frozenset[int], bool, dict[str, str]] | None = None
    """Rows, whether they violate a constraint, and settings when it set its savepoint."""

    wrote: bool = False

    def forget(self) -> None:
        """Be as if no transaction had begun."""
        self.__init__(self.automatic, self.name)  # type: ignore[misc]


class Interleavings(RuleBasedStateMachine):
    """Statements of four sessions, the last one of which is in autocommit mode.

    When something is refused, or an error shows what production would not, the test ends.
    """

    def __init__(self) -> None:
        super().__init__()
        self.server = Server()
        self.savepoints = Savepoints()
        self.sessions = [Session(number == 3, f"session {number}") for number in range(4)]
        self.committed: frozenset[int] = frozenset()
        self.count = 0
        self.refused = False
        # Whether there was a read-only transaction that cannot be set aside.
        self.sealed = False

    @initialize(late=st.booleans())
    def choose_catalog(self, late: bool) -> None:
        self.savepoints.catalog = CATALOG if late else Catalog(writers=CATALOG.writers)

    # What sessions do

    numbers = st.integers(0, 3)
    goes_on = precondition(lambda self: not self.refused)

    @goes_on
    @rule(number=numbers)
    def read(self, number: int) -> None:
        session = self.sessions[number]
        if self._send(session, READ):
            self._end_automatic(session)

    @goes_on
    @rule(number=numbers, effects=st.sampled_from([WRITE, CALL]), violates=st.booleans())
    def write(self, number: int, effects: Effects, violates: bool) -> None:
        session = self.sessions[number]
        violates = violates and self.savepoints.catalog.deferrable
        if self._send(session, effects):
            self.count += 1
            self._note_write(session)
            if self._succeeds(session, lambda: self.server.insert(self.count, violates=violates)):
                session.rows |= {self.count}
                session.violating |= violates
            self._end_automatic(session)

    @goes_on
    @rule(number=numbers)
    def fail(self, number: int) -> None:
        session = self.sessions[number]
        if self._send(session, READ):
            assert not self._succeeds(session, self.server.fail)
            self._end_automatic(session)

    @goes_on
    @rule(
        number=st.integers(0, 2),
        name=st.sampled_from(["statement_timeout", "role", "app.tenant"]),
        value=st.sampled_from("abc"),
    )
    def set_locally(self, number: int, name: str, value: str) -> None:
        session = self.sessions[number]
        text = f"SET LOCAL {name} = '{value}'"
        if self._send(session, effects_of(text), text):
            self.server.set_locally(name, value)
            session.local = {**session.local, name: value}

    @goes_on
    @rule(number=st.integers(0, 2))
    def declare(self, number: int) -> None:
        session = self.sessions[number]
        if self._send(session, DECLARE):
            self.count += 1
            self.server.declare(self.count)
            session.cursors |= {self.count}
            session.declared = True

    @goes_on
    @rule(number=st.integers(0, 2))
    def become_read_only(self, number: int) -> None:
        session = self.sessions[number]
        if self._send(session, READ_ONLY):
            self.server.set_read_only()
            session.read_only = True

    @goes_on
    @rule(number=st.integers(0, 2))
    def set_savepoint(self, number: int) -> None:
        session = self.sessions[number]
        if session.nested is None and self._send(session, SAVEPOINT):
            self._note_write(session)
            self.server.savepoint(f"of_{number}")
            session.nested = (session.rows, session.violating, session.local)

    @goes_on
    @rule(number=st.integers(0, 2))
    def roll_back_to_savepoint(self, number: int) -> None:
        session = self.sessions[number]
        if session.nested is None:
            return
        # Another session that has written since would lose its rows, but not in production.
        if session.overlapped or session.cursors or session.read_only:
            return
        if self._speak(session, ROLL_BACK_TO):
            self.server.roll_back_to(f"of_{number}")
            self._note_rollback(session)
            session.rows, session.violating, session.local = session.nested
            session.failed = False

    @goes_on
    @rule(number=numbers, commit=st.booleans())
    def end(self, number: int, commit: bool) -> None:
        self._end(self.sessions[number], commit=commit)

    @rule()
    def end_test(self) -> None:
        self.savepoints.reset()
        self.server = Server()
        self.committed = frozenset()
        self.sealed = self.refused = False
        for session in self.sessions:
            if session.transaction is not None and not session.automatic:
                perform(self.server, self.savepoints.roll_back(session.transaction))
                with pytest.raises(IsolationError):
                    perform(self.server, self.savepoints.commit(session.transaction))
                with pytest.raises(IsolationError):
                    perform(self.server, self.savepoints.speak(session.transaction, READ))
            session.forget()
        assert self.server.round_trips == 0

    # How

    def _send(self, session: Session, effects: Effects, text: str = "") -> bool:
        """Prepare a statement. Return whether it would be executed."""
        if not self._speak(session, effects, text):
            return False
        if session.failed:
            assert self.server.in_error
            return False
        self._check_turn(session)
        if effects in (WRITE, CALL):
            assert self.server.now.read_only == session.read_only
        return True

    def _speak(self, session: Session, effects: Effects, text: str = "") -> bool:
        if session.transaction is None:
            session.transaction = self.savepoints.begin(
                automatic=session.automatic, read_only=False
            )
        for other in self.sessions:
            other.interrupted |= other is not session
            kept = other.declared or other.wrote
            self.sealed |= other is not session and other.read_only and kept
        self.savepoints.report(in_error=self.server.in_error)
        try:
            perform(
                self.server,
                self.savepoints.speak(session.transaction, effects, lambda: names_in(text)),
            )
        except TransactionAborted:
            assert session.failed
            return False
        except IsolationError:
            self._refuse(self._is_in_the_way(session) or self.sealed)
            return False
        except ServerError:
            # Constraints of all open transactions are checked together.
            self._refuse(session.automatic and any(one.violating for one in self.sessions))
            return False
        return True

    def _is_in_the_way(self, session: Session) -> bool:
        """Whether another transaction cannot be set aside."""
        return any(
            other.failed and (other.nested is not None or other.overlapped)
            for other in self.sessions
            if other is not session
        )

    def _succeeds(self, session: Session, action: object) -> bool:
        try:
            action()  # type: ignore[operator]
        except ServerError:
            session.failed = True
            self._note_rollback(session)
            return False
        return True

    def _note_write(self, session: Session) -> None:
        session.wrote = True
        for other in self.sessions:
            if other is not session and other.wrote:
                other.overlapped = session.overlapped = True

    def _note_rollback(self, session: Session) -> None:
        """A rollback closes cursors of others, too, that were opened since it began to write."""
        for other in self.sessions:
            if session.wrote and other is not session:
                other.cursors = frozenset()

    def _end_automatic(self, session: Session) -> None:
        """A statement in autocommit mode is committed by the next one, which settles it.

        If it has failed, it is rolled back at once.
        """
        if session.automatic:
            self.savepoints.report(in_error=self.server.in_error)
            if session.failed:
                perform(self.server, self.savepoints.settle())
                assert not self.server.in_error or self.savepoints.lost
            else:
                self.committed |= session.rows
            if self.savepoints.lost:
                self._refuse(session.overlapped)
            session.forget()

    def _end(self, session: Session, *, commit: bool) -> None:
        transaction = session.transaction
        if transaction is None:
            return
        self.savepoints.report(in_error=self.server.in_error)
        end = self.savepoints.commit if commit else self.savepoints.roll_back
        was_read = transaction.state is State.READER
        try:
            perform(self.server, end(transaction))
        except IsolationError:
            self._refuse(session.overlapped or self._is_in_the_way(session))
            return
        except ServerError:
            assert commit
            assert not session.failed
            if not session.violating:
                self._refuse(any(one.violating for one in self.sessions))
                return
            commit = False
        else:
            assert not (commit and session.violating and not session.failed)
        if self.savepoints.lost:
            self._refuse(session.overlapped)
            return
        if was_read and not session.interrupted:
            assert self.server.now.cursors.isdisjoint(session.cursors)
        if commit and not session.failed:
            self.committed |= session.rows
        else:
            self._note_rollback(session)
        session.forget()

    def _refuse(self, justified: bool) -> None:
        assert justified, "nothing was in the way"
        self.refused = True

    # What must hold

    def _check_turn(self, session: Session) -> None:
        """A session finds what it has set, and nothing that others have."""
        now = self.server.now
        expected = {**{"app.tenant": ""}, **Contents().settings, **session.local}
        assert {**{"app.tenant": ""}, **now.settings} == expected
        assert now.read_only or not session.read_only
        assert now.immediate == (session.automatic and self.savepoints.catalog.deferrable)
        assert session.cursors <= now.cursors

    @invariant()
    def what_is_committed_or_open_is_there(self) -> None:
        if not self.refused and not self.server.in_error:
            rows = [session.rows for session in self.sessions if not session.failed]
            assert self.server.now.rows == self.committed.union(*rows)


Interleavings.TestCase.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=30, deadline=None
)
TestInterleavings = Interleavings.TestCase
