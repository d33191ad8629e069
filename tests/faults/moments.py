"""The moments of the engine's work at which a process is stopped."""

from __future__ import annotations

from dataclasses import dataclass

CREATE = ("flask", "test-db", "create")
RESET = ("flask", "test-db", "reset")
DROP = ("flask", "test-db", "drop")
SAVE = ("flask", "test-db", "snapshot", "save", "two")
RESTORE = ("flask", "test-db", "snapshot", "restore", "one")
PYTEST = ("pytest", "-q", "-p", "no:cacheprovider")

_CLUSTER = "flask_testbed.postgres.cluster:Cluster"
_EMBEDDED = "flask_testbed.embedded.server"


@dataclass(frozen=True)
class Moment:
    """A call in a process that does one of the engine's jobs, before or after which it stops."""

    name: str
    command: tuple[str, ...]
    place: str
    when: str = "before"


#: On an external server.
MOMENTS = [
    Moment("template: tables made, no label", CREATE, "flask_testbed.databases.template:install"),
    Moment("template: labelled and named", CREATE, f"{_CLUSTER}._finish", "after"),
    Moment("create: template held", CREATE, f"{_CLUSTER}.clone"),
    Moment("create: clone copied", CREATE, f"{_CLUSTER}.clone", "after"),
    Moment("reset: both are there", RESET, f"{_CLUSTER}._replace"),
    Moment("reset: swapped", RESET, f"{_CLUSTER}.end_sessions", "after"),
    Moment("drop: before", DROP, f"{_CLUSTER}.drop"),
    Moment("drop: after", DROP, f"{_CLUSTER}.drop", "after"),
    Moment("snapshot save: copied", SAVE, f"{_CLUSTER}._create", "after"),
    Moment("snapshot restore: copied", RESTORE, f"{_CLUSTER}._create", "after"),
    Moment("snapshot restore: swapped", RESTORE, f"{_CLUSTER}._finish", "after"),
    Moment("pytest: clone copied", PYTEST, f"{_CLUSTER}.clone", "after"),
    Moment("pytest: in a test", PYTEST, "pathlib:Path.touch", "after"),
    Moment("pytest: being put back", PYTEST, "flask_testbed.isolation.commit.reset:_call"),
    Moment("pytest: being dropped", PYTEST, f"{_CLUSTER}.drop"),
]

#: With a pooler in front of a server.
POOLED_MOMENTS = [
    moment for moment in MOMENTS if moment.command in (SAVE, RESTORE) or "in a test" in moment.name
]

#: On an embedded server that nothing else uses.
EMBEDDED_MOMENTS = [
    Moment("server: being made", CREATE, f"{_EMBEDDED}:give", "after"),
    Moment("server: starting", CREATE, f"{_EMBEDDED}:EmbeddedServer._run_keeper"),
    Moment("server: started", CREATE, f"{_EMBEDDED}:EmbeddedServer._run_keeper", "after"),
    Moment("template: tables made, no label", CREATE, "flask_testbed.databases.template:install"),
    Moment("create: clone copied", CREATE, f"{_CLUSTER}.clone", "after"),
    Moment("pytest: in a test", PYTEST, "pathlib:Path.touch", "after"),
]
