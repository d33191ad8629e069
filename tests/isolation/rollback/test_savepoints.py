"""Savepoints in single cases, most of which random interleavings seldom meet."""

from __future__ import annotations

import threading

import pytest

from flask_testbed import IsolationError
from flask_testbed.isolation.rollback.local_settings import names_in
from flask_testbed.isolation.rollback.savepoints import (
    ApplicationTransaction,
    Savepoints,
    State,
    TransactionAborted,
)
from flask_testbed.isolation.statements import Effects, effects_of
from tests.support.savepoint_model import (
    CATALOG,
    DECLARE,
    READ,
    READ_ONLY,
    ROLL_BACK_TO,
    SAVEPOINT,
    WRITE,
    Server,
    ServerError,
    perform,
)


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
