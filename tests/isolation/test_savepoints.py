"""Savepoints, compared with a model: sessions that interleave as they like, and no server.

A model of PostgreSQL's savepoints executes the commands. What it holds is compared with what
independent transactions would have left: what was committed, and what is still open.
"""

from __future__ import annotations

import os
import threading
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
    RoundTrips,
    Savepoints,
    State,
    TransactionAborted,
)
from flask_testbed.isolation.statements import Effects, effects_of
from tests.support.savepoint_model import Contents, Server, ServerError

#: A thousand by ``TESTBED_INTERLEAVINGS=1000 pytest`` and this file.
EXAMPLES = int(os.environ.get("TESTBED_INTERLEAVINGS", "100"))

CATALOG = Catalog(writers=frozenset({"add_if_new"}), deferrable=True, deferred=("public.late",))

READ = effects_of("SELECT 1")
WRITE = effects_of("INSERT INTO t VALUES (1)")
CALL = effects_of("SELECT add_if_new(1)")
DECLARE = effects_of("DECLARE c CURSOR FOR SELECT 1")
READ_ONLY = effects_of("SET TRANSACTION READ ONLY")
SAVEPOINT = effects_of("SAVEPOINT mine")
ROLL_BACK_TO = effects_of("ROLLBACK TO SAVEPOINT mine")


def perform(server: Server, round_trips: RoundTrips) -> None:
    """Send the commands of round trips to a server."""
    try:
        commands = next(round_trips)
        while True:
            try:
                answer = server.send(commands)
            except ServerError as error:
                commands = round_trips.throw(error)
            else:
                commands = round_trips.send(answer)
    except StopIteration:
        pass


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
        # Another one that has written since would lose that: in production, too, it would not.
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


# What random interleavings meet seldom


class Pair:
    """Two transactions of a test, the second of which has its place after the first."""

    def __init__(self) -> None:
        self.server, self.savepoints = Server(), Savepoints()
        self.first, self.second = (
            self.savepoints.begin(automatic=False, read_only=False) for _ in range(2)
        )
        self.write(self.first)
        self.write(self.second)

    def write(self, transaction: ApplicationTransaction, effects: Effects = WRITE) -> None:
        """Prepare a statement of a transaction."""
        self.savepoints.report(in_error=self.server.in_error)
        perform(self.server, self.savepoints.speak(transaction, effects))

    def end(self, transaction: ApplicationTransaction, *, commit: bool) -> str:
        """End a transaction, and return why the test is lost, if it is."""
        end = self.savepoints.commit if commit else self.savepoints.roll_back
        perform(self.server, end(transaction))
        return self.savepoints.lost


def test_a_rollback_alone_loses_nothing() -> None:
    pair = Pair()
    assert pair.end(pair.second, commit=False) == ""
    assert pair.end(pair.first, commit=False) == ""


@pytest.mark.parametrize("effects", [WRITE, DECLARE, READ_ONLY])
def test_a_rollback_that_covers_what_another_has_done_since(effects: Effects) -> None:
    pair = Pair()
    pair.write(pair.first, effects)
    assert "rolled back in which another" in pair.end(pair.second, commit=False)


def test_a_rollback_that_covers_what_another_has_committed() -> None:
    pair = Pair()
    assert pair.end(pair.second, commit=True) == ""
    assert "rolled back in which another" in pair.end(pair.first, commit=False)


def test_a_rollback_out_of_order() -> None:
    pair = Pair()
    assert "began first ended first" in pair.end(pair.first, commit=False)


def test_a_commit_out_of_order() -> None:
    pair = Pair()
    with pytest.raises(IsolationError, match="began first ended first"):
        pair.end(pair.first, commit=True)
    assert pair.savepoints.lost


def test_a_transaction_that_has_failed_and_covers_another_is_in_the_way() -> None:
    pair = Pair()
    pair.write(pair.first)
    pair.write(pair.second, READ)
    pair.server.in_error = True
    with pytest.raises(IsolationError, match="has failed and is still open"):
        pair.write(pair.first, READ)


def test_a_transaction_that_has_failed_alone_is_aborted_for_another() -> None:
    pair = Pair()
    pair.server.in_error = True
    pair.write(pair.first, READ)
    assert pair.second.state is State.ABORTED
    with pytest.raises(TransactionAborted):
        pair.write(pair.second, READ)
    assert pair.end(pair.second, commit=True) == ""


def test_a_transaction_that_has_failed_below_another_is_in_the_way() -> None:
    pair = Pair()
    pair.write(pair.first, READ)
    pair.server.in_error = True
    with pytest.raises(IsolationError, match="has failed and is still open"):
        pair.write(pair.second, READ)


def test_a_transaction_that_has_rolled_back_to_its_own_savepoint_commits() -> None:
    pair = Pair()
    pair.write(pair.second, SAVEPOINT)
    pair.server.in_error = True
    pair.write(pair.second, ROLL_BACK_TO)
    assert pair.second.state is State.FAILED
    pair.server.in_error = False
    pair.savepoints.report(in_error=False)
    pair.end(pair.second, commit=True)
    # A rollback of the first one would undo that.
    assert pair.first.covers


def test_a_commit_restores_what_a_writer_has_set_locally() -> None:
    pair = Pair()
    text = "SET LOCAL role = 'a'"
    names = names_in(text)
    perform(pair.server, pair.savepoints.speak(pair.second, effects_of(text), lambda: names))
    pair.server.set_locally("role", "a")
    pair.end(pair.second, commit=True)
    assert pair.server.now.settings["role"] == "none"


def test_a_commit_that_violates_a_constraint_is_rolled_back() -> None:
    pair = Pair()
    pair.savepoints.catalog = CATALOG
    pair.server.insert(1, violates=True)
    with pytest.raises(ServerError):
        pair.end(pair.second, commit=True)
    assert not pair.server.in_error
    assert pair.server.now.rows == frozenset()


# What each transaction costs


def started() -> tuple[Server, Savepoints]:
    """A test in which one transaction has read."""
    server, savepoints = Server(), Savepoints()
    first = savepoints.begin(automatic=False, read_only=False)
    perform(server, savepoints.speak(first, READ))
    perform(server, savepoints.commit(first))
    assert server.round_trips == 1
    return server, savepoints


@pytest.mark.parametrize(
    ("effects", "commit", "round_trips"),
    [(READ, True, 0), (READ, False, 0), (WRITE, True, 1), (WRITE, False, 1)],
)
def test_a_reader_costs_nothing_and_a_writer_one_round_trip(
    effects: Effects, commit: bool, round_trips: int
) -> None:
    server, savepoints = started()
    for count in (1, 2, 3):
        transaction = savepoints.begin(automatic=False, read_only=False)
        perform(server, savepoints.speak(transaction, effects))
        perform(server, savepoints.speak(transaction, effects))
        end = savepoints.commit if commit else savepoints.roll_back
        perform(server, end(transaction))
        assert server.round_trips == 1 + count * round_trips


def test_a_transaction_that_sends_nothing_costs_nothing() -> None:
    server, savepoints = started()
    perform(server, savepoints.commit(savepoints.begin(automatic=False, read_only=False)))
    assert server.round_trips == 1


def test_a_local_setting_is_read_once() -> None:
    server, savepoints = started()
    text = "SET LOCAL role = 'a'"
    transaction = savepoints.begin(automatic=False, read_only=False)
    for _ in range(3):
        perform(server, savepoints.speak(transaction, effects_of(text), lambda: names_in(text)))
    perform(server, savepoints.commit(transaction))
    assert server.round_trips == 3  # to read it, and to roll back


def test_other_threads_wait_for_writers_alone() -> None:
    server, savepoints = started()
    reader = savepoints.begin(automatic=False, read_only=False)
    perform(server, savepoints.speak(reader, READ))
    here, elsewhere = threading.current_thread(), threading.Thread()
    assert list(savepoints.writers_of_other_threads(elsewhere)) == []
    perform(server, savepoints.speak(reader, WRITE))
    assert list(savepoints.writers_of_other_threads(elsewhere)) == [reader]
    assert list(savepoints.writers_of_other_threads(here)) == []
    # A failed transaction can be rolled back for the sake of another, unless it has savepoints.
    savepoints.report(in_error=True)
    assert list(savepoints.writers_of_other_threads(elsewhere)) == []
    reader.nested = True
    assert list(savepoints.writers_of_other_threads(elsewhere)) == [reader]


def test_savepoints_tell_their_state() -> None:
    server, savepoints = started()
    transaction = savepoints.begin(automatic=False, read_only=False)
    perform(server, savepoints.speak(transaction, WRITE))
    assert repr(savepoints) == "<Savepoints [testbed_1 writer]>"
