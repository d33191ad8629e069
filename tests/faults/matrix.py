"""Every fault at every moment: ``python -m tests.faults`` prints what becomes of it.

A process does one of the engine's jobs and stops at a moment of it. Then the fault happens, and the
process goes on, if it still can. Afterwards there must be no half-made database and no lost one,
and the next run must succeed and leave nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import click

from flask_testbed import TestbedError
from flask_testbed.cli.common import table
from flask_testbed.databases.pruning import prune_templates
from flask_testbed.databases.servers import cluster_of
from flask_testbed.databases.snapshots import Snapshots
from flask_testbed.databases.test_database import TestDatabase
from flask_testbed.postgres.labels import UNFINISHED
from tests.support.pooler import pooler
from tests.support.processes import Python
from tests.support.projects import DECIDING
from tests.support.servers import stock_server
from tests.support.waiting import PATIENCE, wait_for

from .faults import EMBEDDED_FAULTS, FAULTS, Fault
from .moments import (
    CREATE,
    EMBEDDED_MOMENTS,
    MOMENTS,
    POOLED_MOMENTS,
    PYTEST,
    RESET,
    RESTORE,
    Moment,
)
from .scene import Broken, Scene, on_embedded, on_stock, small_disk, through_pooler


def suffer(scene: Scene, moment: Moment, fault: Fault) -> None:
    """Let a fault happen at a moment, and look at what becomes of it.

    :raises Broken: something is not as it must be.
    """
    root = scene.project.root
    for file in ("reached", "go", "again", "in-use"):
        (root / file).unlink(missing_ok=True)
    if moment.command not in (CREATE, PYTEST):
        TestDatabase(scene.app).create()
        Snapshots(scene.app).save("one")
    process = scene.start(moment.command, moment.place, moment.when)
    try:
        wait_for(lambda: (root / "reached").exists() or process.poll() is not None, "the moment")
        if not (root / "reached").exists():
            raise Broken(f"it never came to that: {process.communicate()}")
        with ExitStack() as after:
            fault.happen(scene, process, after)
            (root / "go").touch()
            out, err = process.communicate(timeout=PATIENCE)
            _look(scene, moment, fault, out + err)
    finally:
        process.kill()
        process.wait()
    (root / "again").touch()
    _mend(scene, moment)


def _look(scene: Scene, moment: Moment, fault: Fault, said: str) -> None:
    """What must be so at once."""
    if "Traceback" in said and not fault.dies and fault.name != "SIGINT":
        raise Broken(f"a traceback: {said.strip()[-300:]}")
    if fault.name == "disk full":
        return  # the server may be down, and is looked at when there is room again
    marks = scene.databases()
    if lost := scene.before - marks.keys():
        raise Broken(f"lost: {sorted(lost)}")
    for name in marks.keys() - scene.before:
        foreign = name == "own_test" and fault.name == "the name is taken"
        if not marks[name] and not name.startswith(UNFINISHED) and not foreign:
            raise Broken(f"half-made: {name}")
    if moment.command in (RESET, RESTORE) and "own_test" not in marks and scene.stock:
        raise Broken("the test database is gone")


def _mend(scene: Scene, moment: Moment) -> None:
    """What the next run must do."""
    if scene.stock is not None:
        wait_for(
            lambda: (
                scene.stock is not None
                and scene.stock.rows("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
                == [0]
            ),
            "the locks to be free",
        )
    if moment.command == PYTEST:
        scene.finish(scene.start(PYTEST))
    database, snapshots = TestDatabase(scene.app), Snapshots(scene.app)
    database.create()
    with database.temporary() as (cluster, name), closing(cluster.connect(name)) as connection:
        connection.execute("INSERT INTO book (title) VALUES ('x')")
    for snapshot in snapshots.list():
        assert snapshot.label is not None
        snapshots.restore(snapshot.label.title)
        snapshots.drop(snapshot.label.title)
    database.drop()
    database.prune()
    with closing(cluster_of(database.target)) as cluster:
        prune_templates(cluster, "", keep=0)
    if left := scene.databases().keys() - scene.before:
        raise Broken(f"leftover: {sorted(left)}")


def play(
    scene: Scene, moments: list[Moment], faults: list[Fault], only: str
) -> Iterator[tuple[Moment, Fault, str]]:
    """Let every fault happen at every moment; yield what became of it."""
    for moment in moments:
        for fault in faults:
            if only in f"{moment.name}, {fault.name}":
                outcome = "mended"
                try:
                    suffer(scene, moment, fault)
                except (Broken, TestbedError, AssertionError, subprocess.TimeoutExpired) as error:
                    outcome = f"BROKEN: {error}"
                yield moment, fault, outcome


def show(where: str, played: list[tuple[Moment, Fault, str]]) -> int:
    """Print a table; return how many are broken."""
    broken = [one for one in played if one[2] != "mended"]
    moments = list(dict.fromkeys(moment.name for moment, _, _ in played))
    faults = list(dict.fromkeys(fault.name for _, fault, _ in played))
    words = {(m.name, f.name): outcome.split(":")[0] for m, f, outcome in played}
    rows = [[moment, *(words.get((moment, fault), "") for fault in faults)] for moment in moments]
    click.echo(table([where, *faults], rows))
    for moment, fault, outcome in broken:
        click.echo(f"\n{moment.name}, {fault.name}:\n{textwrap.indent(outcome, '  ')}")
    click.echo(f"{len(played)} combinations, {len(broken)} broken.\n")
    return len(broken)


@click.command()
@click.option("--only", default="", help="Those whose 'moment, fault' holds this text.")
def main(only: str) -> None:
    """Let every fault happen at every moment of the engine's work.

    \b
    Example:
      python -m tests.faults --only SIGKILL
    """
    for name in DECIDING:
        os.environ.pop(name, None)
    broken = 0
    with ExitStack() as stack:
        python = stack.enter_context(closing(Python()))
        stock = stack.enter_context(stock_server())
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        Path(folder).chmod(0o711)
        os.environ["FLASK_TESTBED_HOME"] = str(stack.enter_context(small_disk()))
        here, there, beyond = (Path(folder, name) for name in ("stock", "embedded", "pooler"))
        for root in (here, there, beyond):
            root.mkdir()
        between = stack.enter_context(pooler(stock, "session"))
        for where, scene, moments, faults in (
            ("an external server", on_stock(stock, here, python), MOMENTS, FAULTS),
            (
                "a pooler",
                through_pooler(stock, beyond, python, between),
                POOLED_MOMENTS,
                FAULTS,
            ),
            ("an embedded server", on_embedded(there, python), EMBEDDED_MOMENTS, EMBEDDED_FAULTS),
        ):
            broken += show(where, list(_told(play(scene, moments, faults, only))))
    sys.exit(1 if broken else 0)


def _told(played: Iterator[tuple[Moment, Fault, str]]) -> Iterator[tuple[Moment, Fault, str]]:
    """Say each outcome as soon as it is known: all of them take minutes."""
    for moment, fault, outcome in played:
        click.echo(f"{moment.name}, {fault.name}: {outcome}", err=True)
        yield moment, fault, outcome
