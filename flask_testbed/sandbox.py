"""A database for the tests of one process: made at first use, put back after each test."""

from __future__ import annotations

import itertools
import os
import re
import threading
import warnings
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from typing import Any, Literal
from weakref import WeakSet

import psycopg
from flask import Flask
from sqlalchemy import event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import Pool

from .copies import copy_rows
from .database import TEMPLATE, Cluster, Found, Mark
from .engines import State, Strays
from .errors import ServerError, TestbedWarning
from .guards import check_target
from .isolation import (
    ConnectionLost,
    NeedsClone,
    bound_waits,
    prepare,
    put_sequences_back,
    reset,
)
from .layers import Layers
from .leaks import Horizons, Leak, find_leaks
from .rollback import Rollback, SharedConnection
from .schema import find_schema
from .server import Connection
from .sessions import SessionChanges
from .settings import NAMES_OF_RUNS, Target
from .template import full_fingerprint, hold_template, release_template

#: Seconds that another process waits for a lock of a test in rollback mode.
OTHERS_PATIENCE = 10

#: How a test's work is undone: by putting rows back, or by never committing.
Mode = Literal["commit", "rollback"]


@dataclass(frozen=True)
class Keeping:
    """What outlives the process."""

    reuse: bool = False
    """Take the database that an earlier run has kept, if its schema is current; keep it again."""

    anew: bool = False
    """With ``reuse``: make it anew all the same."""

    keep: bool = False
    """Leave the database when the process ends."""


@dataclass
class Sandbox:
    """The test database of one process.

    Constructing it connects to nothing.

    :param app: the application whose schema it has.
    :param state: what the testbed knows of that application.
    :param target: where it is, and its name.
    :param worker: of pytest-xdist (``gw0``), empty in a run of one process.
    :param keeping: what outlives the process.
    """

    app: Flask
    state: State
    target: Target
    worker: str = ""
    keeping: Keeping = Keeping()

    name: str | None = field(default=None, init=False)
    """Of the database, once it is there."""

    used: bool = field(default=False, init=False)
    """Whether it may not be as it was."""

    mode: Mode = field(default="commit", init=False)
    """How what is done from now on is undone."""

    reset_sequences: bool = field(default=False, init=False)
    """In rollback mode: whether sequences are put back too."""

    test: str = field(default="", init=False)
    """Which test runs now, for messages."""

    leaks: Sequence[Leak] = field(default=(), init=False)
    """What was not as at the start when the sandbox was closed."""

    _cluster: Cluster | None = field(default=None, init=False, repr=False)
    _template: str = field(default="", init=False, repr=False)
    _fingerprint: str = field(default="", init=False, repr=False)
    _resetter: Connection | None = field(default=None, init=False, repr=False)
    _rollback: Rollback | None = field(default=None, init=False, repr=False)
    _layers: Layers = field(init=False, repr=False)
    _changes: SessionChanges = field(default_factory=SessionChanges, init=False, repr=False)
    _horizons: Horizons = field(default_factory=Horizons, init=False, repr=False)
    _copies: set[str] = field(default_factory=set, init=False, repr=False)
    _strays: Strays = field(default_factory=Strays, init=False, repr=False)
    _out: WeakSet[psycopg.Connection[Any]] = field(default_factory=WeakSet, init=False, repr=False)
    _pid: int = field(default_factory=os.getpid, init=False, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)

    def __post_init__(self) -> None:
        self._layers = Layers(_Place(self))

    def redirect(self, app: Flask, state: State) -> None:
        """Send an application's engines here. The database is made when one first connects."""
        self._watch()
        for route in state.routes.values():
            route.to_test = self.url
            route.share = self._share
            # What is in the pool leads to the application's own database.
            route.engine.dispose()
        self._strays.states[app] = state
        name = self.name or self.target.name
        self._show(app, state, Cluster.of(self.target).url.set(database=name))

    def _show(self, app: Flask, state: State, url: URL) -> None:
        """Let nobody who looks at the engine or the configuration find the application's own."""
        for route in state.routes.values():
            route.engine.url = url
        state.configure(app, url)

    def url(self) -> URL:
        """Where the database is. Makes it, if it is not there yet.

        :raises TestbedError: it cannot or must not be made.
        """
        with self._lock:
            if self.name is None:
                self._open()
            assert self._cluster is not None
            return self._cluster.url.set(database=self.name)

    def _share(self, parameters: dict[str, Any]) -> SharedConnection | None:
        """In rollback mode, give the test's one connection to whoever connects."""
        if self.mode == "commit":
            self._changes.watch(parameters)
            return None
        if self._rollback is None:
            self._rollback = Rollback(self._bound_waits)
        return self._rollback.connect(parameters)

    def _bound_waits(self) -> None:
        """Let no other process wait for ever for what a test has locked.

        The test may itself be waiting for that process.
        """
        bound_waits(self._connection(), OTHERS_PATIENCE)

    def put_back(self) -> None:
        """Undo what has been done to the database since it was made.

        Warns with :class:`TestbedWarning` of transactions that had to be ended.

        :raises IsolationError: it cannot be undone.
        """
        with self._lock:
            if self._pid != os.getpid():
                return
            with ExitStack() as last:
                last.callback(self._put_rows_back)
                last.callback(self._roll_back)

    def _roll_back(self) -> None:
        end = self._rollback.outer.roll_back_all() if self._rollback is not None else None
        if end is None:
            return
        self._horizons.add(end, self.test)
        if self.reset_sequences:
            put_sequences_back(self._connection())

    def _put_rows_back(self) -> None:
        if not self.used or self.name is None:
            return
        self._changes.close(self._out)
        try:
            ended = self._reset()
        except NeedsClone:
            self._layers.replace()
            ended = []
        self._note_clean()
        for session in ended:
            warnings.warn(
                f"A transaction was left open, and has been ended: {session}. Close what the"
                " test opens, and join its threads.",
                TestbedWarning,
                stacklevel=2,
            )

    def _note_clean(self) -> None:
        # A connection that outlives the test may write in the next without being asked for.
        self.used = any(not connection.closed for connection in self._out)

    # Layers

    def keep(self, owner: object, name: str) -> None:
        """Make what was written since the database was put back a layer, for later tests.

        :param owner: whose it is, until :meth:`forget`.
        :param name: of the owner, as a sentence begins with it.
        :raises IsolationError: it cannot be kept; it is undone.
        """
        with self._lock:
            if self.used and self.name is not None and self._pid == os.getpid():
                self._layers.push(owner, name)
                self._note_clean()

    def forget(self, owner: object) -> None:
        """Take an owner's layers away. Everything else is put back as other layers say."""
        with self._lock:
            if self.has_layer(owner) and self._pid == os.getpid():
                self._put_rows_back()
                self._layers.pop(owner)

    def has_layer(self, owner: object) -> bool:
        """Whether an owner has written what later tests see."""
        return self._layers.owns(owner)

    def copy(self) -> URL | None:
        """Make a database of what there is now, committed or not. It stays when the run ends.

        :returns: its URL; ``None`` if nothing was done in the test.
        :raises TestbedError: it cannot be made.
        """
        with self._lock, ExitStack() as stack:
            if self._cluster is None or self.name is None or self._pid != os.getpid():
                return None
            if self._rollback is not None and self._rollback.outer.begun:
                source = stack.enter_context(self._rollback.outer.looked_into())
            elif self.used:
                source = stack.enter_context(closing(self._cluster.connect(self.name)))
            else:
                return None
            name = self._claim_copy(self._cluster)
            mark = Mark.make("left", self._fingerprint, label=self.test)
            with self._cluster.making(name, mark, self._template) as unfinished:
                target = self._cluster.connect(unfinished)
                with closing(target):
                    copy_rows(source, target)
            self._copies.add(name)
            return self._cluster.url.set(database=name)

    def close(self) -> URL | None:
        """Drop the database, unless it is to be kept, and give everything back.

        :returns: the URL of a database that is kept.
        """
        with self._lock:
            if self._pid != os.getpid():
                return None  # a fork has come to its end: the database is its parent's
            with ExitStack() as last:
                if self._cluster is not None:
                    last.callback(self._cluster.close)
                if self._template:
                    last.callback(self._release)
                self._look_for_leaks()
                self._unwatch()
                self._dispose()
                self._close_rollback()
                if self._resetter is not None:
                    self._resetter.close()
                if self._cluster is None or self.name is None:
                    return None
                self._layers.close()
                kept = self._leave(self._cluster, self.name)
                self.name = None
                return kept

    def _look_for_leaks(self) -> None:
        if self.name is None:
            return
        # Without a server there is nothing to find, and others say so.
        with suppress(ServerError, psycopg.Error):
            self.leaks = find_leaks(self._connection(), self._horizons)

    def _release(self) -> None:
        # On a server of somebody else's, nothing stays that nobody asked for.
        if self._cluster is not None:
            release_template(self._cluster, self._template, keep=self.target.embedded)
        self._template = ""

    def _close_rollback(self) -> None:
        if self._rollback is not None:
            self._rollback.close()

    def _dispose(self) -> None:
        for state in list(self._strays.states.values()):
            state.dispose()

    # Watching

    def _watch(self) -> None:
        self._strays.listen()
        if not event.contains(Pool, "checkout", self._checkout):
            event.listen(Pool, "checkout", self._checkout)
            event.listen(Pool, "checkin", self._checkin)

    def _unwatch(self) -> None:
        self._strays.ignore()
        if event.contains(Pool, "checkout", self._checkout):
            event.remove(Pool, "checkout", self._checkout)
            event.remove(Pool, "checkin", self._checkin)

    def _checkout(self, connection: Any, record: Any, proxy: Any) -> None:
        """Note that a test has a connection to the database, whichever pool has given it."""
        if not isinstance(connection, psycopg.Connection):
            return
        if self._changes.was_closed(connection):
            # The pool answers this by connecting anew.
            raise DisconnectionError("a connection that the last test has changed")
        if connection.closed or connection.info.dbname != self.name:
            return
        if isinstance(connection, SharedConnection) != (self.mode == "rollback"):
            raise DisconnectionError("a connection of the other mode")
        if self.mode == "commit":
            self.used = True
            self._out.add(connection)
            self._changes.taken(connection)

    def _checkin(self, connection: Any, record: Any) -> None:
        if connection is not None:  # it is, after invalidate()
            self._out.discard(connection)

    # Making

    def _open(self) -> None:
        check_target(self.target)
        self._cluster = Cluster.of(self.target)
        try:
            self._refuse_somebodys(self._cluster)
            self._prepare(self._cluster)
            if self.used:
                self._layers.forget()
                self.put_back()
        except BaseException:
            self._give_up(self._cluster)
            raise
        for app, state in list(self._strays.states.items()):
            self._show(app, state, self._cluster.url.set(database=self.name))

    def _give_up(self, cluster: Cluster) -> None:
        self.name = None
        with ExitStack() as last:
            last.callback(cluster.close)
            if self._template:
                self._release()

    def _prepare(self, cluster: Cluster) -> None:
        self._drop_leftovers(cluster)
        schema = find_schema(self.app, self.state)
        self._template = hold_template(self.app, self.state, cluster, schema)
        self._fingerprint = full_fingerprint(cluster, schema)
        self.name = self._claim(cluster)

    def _refuse_somebodys(self, cluster: Cluster) -> None:
        """Refuse the whole target, its workers' databases too, if its name is somebody else's."""
        found = cluster.find(self.target.name)
        if found is not None:
            cluster.check_mark(found)

    def _claim(self, cluster: Cluster) -> str:
        """Take the first name that nobody uses, and make a database of that name."""
        for number in itertools.count(1):
            name = self._name(number)
            if not cluster.try_lock(name):
                continue
            found = cluster.find(name)
            if found is None or self._is_ours(cluster, found):
                self._make(cluster, name, found)
                return name
            cluster.unlock(name)
        raise AssertionError("unreachable: the numbers do not end")

    def _claim_copy(self, cluster: Cluster) -> str:
        """Take the first name for a copy that neither somebody uses nor this run has used."""
        for name in map(self._name, itertools.count(2)):
            if name not in self._copies and cluster.try_lock(name):
                found = cluster.find(name)
                if found is None:
                    return name
                if self._is_ours(cluster, found):
                    check_target(self.target, name)
                    cluster.drop(name)
                    return name
                cluster.unlock(name)
        raise AssertionError("unreachable: the numbers do not end")

    def _name(self, number: int) -> str:
        parts = [self.target.name]
        parts += [str(number)] if number > 1 else []
        parts += [self.worker] if self.worker else []
        return "_".join(parts)

    def _is_ours(self, cluster: Cluster, found: Found) -> bool:
        """Whether a database that is there may be replaced.

        What a command has made stays until a command drops it. What a run has made is a
        leftover, since its lock is free; unless somebody still looks at it.
        """
        if found.mark is None:
            return False
        if self._is_current(found):
            return True
        disposable = found.mark.kind in {"run", "left"} or self.keeping.reuse
        return disposable and not found.connections

    def _make(self, cluster: Cluster, name: str, found: Found | None) -> None:
        check_target(self.target, name)
        if found is not None:
            if self._is_current(found):
                self.used = True  # by whoever had it before
                cluster.mark(name, Mark.make(self._kind, self._fingerprint))
                return
            cluster.drop(name)
        cluster.clone(self._template, name, Mark.make(self._kind, self._fingerprint))

    @property
    def _kind(self) -> str:
        return "kept" if self.keeping.reuse else "run"

    def _is_current(self, found: Found) -> bool:
        return (
            self.keeping.reuse
            and not self.keeping.anew
            and found.mark is not None
            and found.mark.fingerprint == self._fingerprint
        )

    def _drop_leftovers(self, cluster: Cluster) -> None:
        """Drop what runs have left that were killed."""
        cluster.drop_unfinished()
        dead = [
            found
            for found in cluster.find_all(re.escape(self.target.name) + NAMES_OF_RUNS)
            if found.mark is not None and found.mark.kind == "run"
        ]
        if not self.target.embedded:
            # There a template is dropped by its last user, so a free one had none to do it.
            dead += cluster.find_all(TEMPLATE + ".*")
        for found in dead:
            cluster.drop_if_free(found)

    # Putting back

    def _reset(self) -> list[str]:
        try:
            return reset(self._connection())
        except ConnectionLost:
            # A test may end every backend, or the server; once more, on a new one.
            return reset(self._connection())

    def _connection(self) -> Connection:
        if self._resetter is None or self._resetter.closed:
            assert self._cluster is not None
            assert self.name is not None
            self._resetter = self._cluster.connect(self.name)
            prepare(self._resetter)
        return self._resetter

    def _leave(self, cluster: Cluster, name: str) -> URL | None:
        if self._rollback is not None:
            bound_waits(self._connection(), None)
        if self.keeping.reuse:
            return cluster.url.set(database=name)
        if self.keeping.keep:
            cluster.mark(name, Mark.make("left", self._fingerprint))
            return cluster.url.set(database=name)
        cluster.drop(name)
        return None


class _Place:
    """A sandbox's database, as its layers see it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    @property
    def _cluster(self) -> Cluster:
        assert self._sandbox._cluster is not None
        return self._sandbox._cluster

    def connection(self) -> Connection:
        return self._sandbox._connection()

    def reset(self) -> None:
        self._sandbox._reset()

    def copy(self) -> str:
        """Make a template under a name of this run, so that it goes even if the run is killed."""
        source = self._disconnect()
        for number in itertools.count(2):
            name = self._sandbox._name(number)
            if self._cluster.try_lock(name):
                if self._cluster.find(name) is None:
                    mark = Mark.make("run", self._sandbox._fingerprint)
                    self._cluster.clone(source, name, mark)
                    return name
                self._cluster.unlock(name)
        raise AssertionError("unreachable: the numbers do not end")

    def drop_copy(self, name: str) -> None:
        self._cluster.drop(name)
        self._cluster.unlock(name)

    def replace(self, template: str | None) -> None:
        name = self._disconnect()
        self._cluster.drop(name)
        mark = Mark.make(self._sandbox._kind, self._sandbox._fingerprint)
        self._cluster.clone(template or self._sandbox._template, name, mark)

    def _disconnect(self) -> str:
        """Give all connections back that are not out."""
        sandbox = self._sandbox
        assert sandbox.name is not None
        if sandbox._resetter is not None:
            sandbox._resetter.close()
        sandbox._dispose()
        sandbox._close_rollback()
        return sandbox.name
