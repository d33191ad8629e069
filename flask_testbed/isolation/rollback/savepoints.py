"""The transactions of an application as savepoints of one test transaction: states and order.

PostgreSQL ends savepoints last-in-first-out: ``RELEASE`` and ``ROLLBACK TO`` also end all that were
set later. The transactions of several connections end in any order. Three rules bring the two
together:

- A transaction gets its savepoint, its *place*, when it sends its first statement.
- A transaction that has written nothing does not need its place: nothing is lost when another
  transaction takes it away. So at most one reader has a place, and it is the last one.
- Only writers have to end in order. A writer that ends out of order would take the work of another
  with it. The test is *lost* instead: from then on everything is refused.

A savepoint in which nothing has been done is not released but kept as the *spare*, which becomes
the place of the next transaction. So a transaction that only reads costs no round trip.

======= =============== ================ ================== ==================== ================
state   it reads        it writes        another speaks     it commits           it rolls back
======= =============== ================ ================== ==================== ================
NEW     READER: takes   WRITER           -                  sends nothing        sends nothing
        the spare, or
        sets one
READER  -               WRITER; those    NEW: its place     its place becomes    the same
                        after it now     becomes the spare  the spare
                        cover it
WRITER  -               those after it   -                  last place: checks,  covers another:
                        now cover it                        RELEASE, next spare; lost; else
                                                            those before it now  ROLLBACK TO,
                                                            cover it. Else lost  spare
FAILED  the server's    the same         ROLLBACK TO,       ROLLBACK TO          ROLLBACK TO
        error                            ABORTED; refused
                                         if nested, if it
                                         covers another or
                                         is not last
ABORTED in failed       the same         -                  ends                 ends
        transaction
OVER    refused         refused          -                  refused              sends nothing
======= =============== ================ ================== ==================== ================

A failed transaction is a writer again when the application rolls back to a savepoint of its own. A
reader's place is rolled back to before it becomes the spare if the reader is *unclean*: if a
cursor, a setting or READ ONLY would outlive it there. An open cursor would not survive that, so the
place of a reader that has declared one is forgotten when another transaction speaks.

Settings that are local to a transaction (``SET LOCAL``) end with it, and are in force only while it
is its turn: see :mod:`.local_settings`.

Nothing is sent from here, and no driver is known. A method that needs the server is a generator
of round trips: it yields the commands of each, and is sent the first value of its last result.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import dataclass, field
from enum import Enum

from ...errors import IsolationError
from ..statements import Effects
from .catalog import Catalog
from .local_settings import Settings, parse, read, write
from .refusal import refusal

#: Round trips: each yields its commands, and is sent the first value of the last result.
RoundTrips = Generator[list[str], str | None, None]


class State(Enum):
    """What has become of an application transaction."""

    NEW = "new"
    READER = "reader"
    WRITER = "writer"
    FAILED = "failed"
    ABORTED = "aborted"
    OVER = "over"


_OUT_OF_ORDER = "Two transactions have both written, and the one that began first ended first."

_WITH_A_PLACE = frozenset({State.READER, State.WRITER, State.FAILED})


class TransactionAborted(Exception):
    """A statement was sent in a transaction that is ABORTED: the server would refuse it, too."""


@dataclass(eq=False)
class ApplicationTransaction:
    """A transaction as the application sees it."""

    automatic: bool
    """Whether it ends with its statement (autocommit)."""

    read_only: bool

    state: State = State.NEW

    savepoint: str = ""
    """The name of its place, or empty if it has none."""

    unclean: bool = False
    """Whether its place must be rolled back to before another uses it."""

    declares: bool = False
    """Whether it may have opened cursors."""

    nested: bool = False
    """Whether it may have set savepoints of its own."""

    covers: bool = False
    """Whether a rollback of it would also undo what another transaction has written."""

    before: Settings = field(default_factory=dict)
    """Values, from before the transaction, of the settings that it may have set locally."""

    own: Settings = field(default_factory=dict)
    """Values of the same settings when another transaction took its turn."""

    thread: threading.Thread = field(default_factory=threading.current_thread)

    @property
    def is_undone_alone(self) -> bool:
        """Whether ``ROLLBACK TO`` its place, if that is the last one, undoes nothing else."""
        return not self.nested and not self.covers


class Savepoints:
    """The application transactions of one test, in the order of their savepoints."""

    def __init__(self) -> None:
        #: What the database holds. Replaced when the schema has changed.
        self.catalog = Catalog()
        #: Why the test cannot go on, or empty if it can.
        self.lost = ""
        #: Whether the test transaction has begun on the server.
        self.begun = False
        self._open: set[ApplicationTransaction] = set()
        self._places: list[ApplicationTransaction] = []
        # The transaction that sent the last statement, while it is open.
        self._speaker: ApplicationTransaction | None = None
        self._spare = ""
        # Whether READ ONLY is in force in a place that is forgotten.
        self._read_only = False
        self._count = 0

    def __repr__(self) -> str:
        places = ", ".join(f"{one.savepoint} {one.state.value}" for one in self._places)
        return f"<Savepoints [{places}]{' lost' if self.lost else ''}>"

    def begin(self, *, automatic: bool, read_only: bool) -> ApplicationTransaction:
        """Return a transaction that has sent nothing yet."""
        transaction = ApplicationTransaction(automatic, read_only)
        self._open.add(transaction)
        return transaction

    def report(self, *, in_error: bool) -> None:
        """Take note of whether the server is in an aborted transaction after the last statement."""
        speaker = self._speaker
        if speaker is None:
            return
        if in_error and speaker.state in _WITH_A_PLACE:
            speaker.state = State.FAILED
        elif speaker.state is State.FAILED:
            # The application has rolled back to a savepoint of its own.
            speaker.state = State.WRITER

    def writers_of_other_threads(
        self, thread: threading.Thread
    ) -> Iterator[ApplicationTransaction]:
        """Yield those that must end before a transaction of this thread writes."""
        for one in self._places:
            stuck = one.state is State.FAILED and not one.is_undone_alone
            if one.thread is not thread and (one.state is State.WRITER or stuck):
                yield one

    # Statements

    def speak(
        self,
        transaction: ApplicationTransaction,
        effects: Effects,
        mentioned: Callable[[], Collection[str]] = frozenset,
    ) -> RoundTrips:
        """Prepare the server for a statement of a transaction.

        :param mentioned: returns names in the statement that may be those of settings.
        :raises IsolationError: the statement cannot be played inside of a savepoint.
        :raises TransactionAborted: the transaction has to be rolled back first.
        """
        if transaction.state is State.OVER:
            raise _over()
        if transaction.state is State.ABORTED:
            raise TransactionAborted
        yield from self.settle()
        yield from self._recover_from(transaction)
        if transaction.state is not State.FAILED:
            yield from self._take_turn(transaction, self._settings(effects, mentioned))
            self._note(transaction, effects)

    def _settings(
        self, effects: Effects, mentioned: Callable[[], Collection[str]]
    ) -> frozenset[str]:
        """Return the names of settings that a statement may set locally."""
        if effects.sets or self.catalog.calls_setter(effects):
            return self.catalog.settings.union(mentioned())
        # A trigger may be what sets something.
        return self.catalog.settings if self.catalog.writes(effects) else frozenset()

    def _note(self, transaction: ApplicationTransaction, effects: Effects) -> None:
        """Take note of what a statement may do, before it is sent."""
        transaction.declares |= effects.declares
        transaction.read_only |= effects.read_only
        transaction.unclean |= effects.declares or effects.read_only
        transaction.nested |= "savepoint" in effects.words
        writes = self.catalog.writes(effects)
        if writes:
            self._check_writable(transaction)
            transaction.state = State.WRITER
        if writes or effects.declares or effects.read_only:
            # This happens inside of the places after its own.
            for after in self._places[self._places.index(transaction) + 1 :]:
                after.covers = True

    def _check_writable(self, transaction: ApplicationTransaction) -> None:
        others = (one for one in self._places if one is not transaction)
        if (self._read_only or any(one.read_only for one in others)) and not transaction.read_only:
            raise refusal(
                "A read-only transaction has set a savepoint or opened a cursor, and another one"
                " writes."
            )

    def settle(self) -> RoundTrips:
        """Commit the last statement, if it was a transaction of its own."""
        if self._speaker is not None and self._speaker.automatic:
            yield from self.commit(self._speaker)

    def _recover_from(self, transaction: ApplicationTransaction) -> RoundTrips:
        """Roll back another transaction that has failed, so that this one can go on."""
        failed = self._speaker
        if failed is None or failed is transaction or failed.state is not State.FAILED:
            return
        if not failed.is_undone_alone or self._places[-1] is not failed:
            raise refusal("A transaction has failed and is still open, while another goes on.")
        yield [f"ROLLBACK TO {failed.savepoint}"]
        self._give_up_place(failed)
        failed.state = State.ABORTED
        failed.before = {}

    def _take_turn(
        self, transaction: ApplicationTransaction, settings: frozenset[str]
    ) -> RoundTrips:
        """Give a transaction its place, and the settings that it has set locally."""
        commands = yield from self._make_way(transaction)
        if transaction.savepoint:
            self._spare = ""
        else:
            commands += self._set_savepoint(transaction)
        if transaction.own:
            commands += write(transaction.own)
            transaction.own = {}
        unknown = settings.difference(transaction.before)
        if unknown:
            commands.append(read(unknown))
        if commands:
            answer = yield commands
            if unknown:
                transaction.before |= parse(answer)
        transaction.unclean |= bool(settings)

    def _make_way(
        self, transaction: ApplicationTransaction
    ) -> Generator[list[str], str | None, list[str]]:
        """Return the commands that end another transaction's turn."""
        commands: list[str] = []
        # From here on an error of the server is one of this transaction.
        speaker, self._speaker = self._speaker, transaction
        if speaker is not None and speaker is not transaction and speaker.before:
            speaker.own = parse((yield [read(speaker.before)]))
            commands += write(speaker.before)
        reader = self._places[-1] if self._places else None
        if reader is None or reader is transaction or reader.state is not State.READER:
            return commands
        if reader.unclean and not reader.declares:
            commands.append(f"ROLLBACK TO {reader.savepoint}")
        self._give_up_place(reader)
        if reader.declares:
            self._spare = ""
            self._read_only |= reader.read_only
        return commands

    def _give_up_place(self, transaction: ApplicationTransaction) -> None:
        """Make the place of a transaction, in which nothing has been done, the spare."""
        self._places.remove(transaction)
        self._spare, transaction.savepoint = transaction.savepoint, ""
        transaction.state = State.NEW

    def _set_savepoint(self, transaction: ApplicationTransaction) -> list[str]:
        commands = [] if self.begun else ["BEGIN"]
        self.begun = True
        transaction.savepoint, self._spare = self._spare, ""
        if not transaction.savepoint:
            transaction.savepoint = self._next_name()
            commands.append(f"SAVEPOINT {transaction.savepoint}")
        if transaction.read_only:
            commands.append("SET TRANSACTION READ ONLY")
            transaction.unclean = True
        elif transaction.automatic and self.catalog.deferrable:
            # Constraints are checked at the end of the statement, which is that of the transaction.
            commands.append("SET CONSTRAINTS ALL IMMEDIATE")
            transaction.unclean = True
        self._places.append(transaction)
        transaction.state = State.READER
        return commands

    def _next_name(self) -> str:
        self._count += 1
        return f"testbed_{self._count}"

    # Ends

    def commit(self, transaction: ApplicationTransaction) -> RoundTrips:
        """End a transaction, and keep what it has written until the end of the test.

        If the server finds that a deferred constraint is violated, roll back and raise its error.

        :raises IsolationError: a transaction that has written later is still open, or the test of
            this one has ended.
        """
        if transaction.state is State.OVER:
            raise _over()
        yield from self._end(transaction, commit=transaction.state is State.WRITER)

    def roll_back(self, transaction: ApplicationTransaction) -> RoundTrips:
        """End a transaction, and undo what it has written.

        The test is lost if that would undo more. No error is raised before the next statement: the
        last rollback of a test is of no consequence.
        """
        yield from self._end(transaction, commit=False)

    def abandon(self, transaction: ApplicationTransaction) -> None:
        """End a transaction of a test that is lost."""
        transaction.state = State.OVER
        self._open.discard(transaction)
        if self._speaker is transaction:
            self._speaker = None

    def _end(self, transaction: ApplicationTransaction, *, commit: bool) -> RoundTrips:
        try:
            if transaction.state in _WITH_A_PLACE:
                yield from self._recover_from(transaction)
                yield from (self._release if commit else self._undo)(transaction)
        finally:
            self.abandon(transaction)

    def _release(self, transaction: ApplicationTransaction) -> RoundTrips:
        commands = yield from self._make_way(transaction)
        if self._places[-1] is not transaction:
            self.lost = _OUT_OF_ORDER
            raise refusal(self.lost)
        commands += self._checks(transaction)
        commands += write(transaction.before)
        # Most often another transaction follows: one round trip does for both.
        spare = self._next_name()
        commands += [f"RELEASE {transaction.savepoint}", f"SAVEPOINT {spare}"]
        try:
            yield commands
        except Exception:
            # As the server does when a check fails in a commit.
            yield from self._roll_back_to(transaction, [])
            raise
        self._places.pop()
        self._spare = spare
        for before in self._places:
            before.covers = True

    def _checks(self, transaction: ApplicationTransaction) -> Iterator[str]:
        """Yield commands that check what was deferred, and defer again what is by default.

        https://www.postgresql.org/docs/current/sql-set-constraints.html
        """
        if self.catalog.deferrable and not transaction.automatic:
            yield "SET CONSTRAINTS ALL IMMEDIATE"
        if self.catalog.deferred:
            yield f"SET CONSTRAINTS {', '.join(self.catalog.deferred)} DEFERRED"

    def _undo(self, transaction: ApplicationTransaction) -> RoundTrips:
        commands = yield from self._make_way(transaction)
        yield from self._roll_back_to(transaction, commands)

    def _roll_back_to(self, transaction: ApplicationTransaction, commands: list[str]) -> RoundTrips:
        if self._places[-1] is not transaction:
            self.lost = _OUT_OF_ORDER
        elif transaction.covers:
            self.lost = "A transaction was rolled back in which another one had committed."
        elif transaction.unclean or transaction.state is not State.READER:
            commands.append(f"ROLLBACK TO {transaction.savepoint}")
        if commands:
            yield commands
        if not self.lost:
            self._give_up_place(transaction)

    # The end of the test

    def looked_into(self) -> RoundTrips:
        """Make the server answer again if the last statement has failed."""
        if self._speaker is not None and self._speaker.state is State.FAILED:
            yield [f"ROLLBACK TO {self._places[-1].savepoint}"]

    def reset(self) -> None:
        """Forget everything: the test transaction has been rolled back."""
        for transaction in self._open:
            transaction.state = State.OVER
        self._open.clear()
        self._places.clear()
        self._speaker, self._spare = None, ""
        self._read_only = self.begun = False
        self.lost = ""


def _over() -> IsolationError:
    return refusal("A connection goes on with a transaction of a test that has ended.")
