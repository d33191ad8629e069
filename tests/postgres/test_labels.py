"""Labels: written, read again, and read as earlier versions have written them."""

from __future__ import annotations

import re

import pytest

from flask_testbed.postgres.database import Database
from flask_testbed.postgres.labels import UNFINISHED, Kind, Label

#: What the versions before named states have written.
EARLIER = (
    'flask-testbed: {"kind": "snapshot", "fingerprint": "0123", "made_by": "ada@h, process 7",'
    ' "made_at": "2026-01-02T03:04:05+00:00", "tables": null, "of": "x_test", "label": "before"}'
)


@pytest.mark.parametrize("kind", Kind)
def test_a_label_is_read_as_it_was_written(kind: Kind) -> None:
    label = Label.create(kind, "0123", tables=3, of="x_test", title="before")

    assert Label.read(str(label)) == label
    assert str(label).startswith("flask-testbed: ")
    assert re.fullmatch(r"\S+@\S+, process \d+", label.made_by)


def test_a_label_of_an_earlier_version_is_read() -> None:
    made_at = "2026-01-02T03:04:05+00:00"
    label = Label(
        Kind.SNAPSHOT, "0123", "ada@h, process 7", made_at, None, of="x_test", title="before"
    )

    assert Label.read(EARLIER) == label


@pytest.mark.parametrize(
    "comment",
    [
        None,
        "",
        "hello",
        "flask-testbed: ",
        "flask-testbed: {}",
        "flask-testbed: 7",
        "flask-testbed: " + "[" * 100_000,
        EARLIER.replace("snapshot", "nonsense"),
        EARLIER.replace('"of"', '"nonsense"'),
    ],
)
def test_another_comment_is_no_label(comment: str | None) -> None:
    assert Label.read(comment) is None


WRITTEN = Label.create(Kind.KEPT, "0123").written_on("x_test", 7)


@pytest.mark.parametrize(
    ("name", "oid", "owner", "comment", "why"),
    [
        ("x_test", 7, "boss", str(WRITTEN), ""),
        ("x_test", 7, "maker", str(WRITTEN), "belongs to the role 'maker'"),
        ("y_test", 7, "boss", str(WRITTEN), "has the label of the database 'x_test'"),
        ("x_test", 8, "boss", str(WRITTEN), "has the label of the database 'x_test'"),
        ("x_test", 8, "maker", str(WRITTEN), "has the label of the database 'x_test'"),
        ("x_test", 7, "boss", EARLIER, "made by an earlier version"),
        ("x_test", 7, "boss", "mine", "not made by flask-testbed (its owner is 'boss')"),
        ("x_test", 7, "boss", None, "not made by flask-testbed (its owner is 'boss')"),
    ],
)
def test_a_label_counts_on_the_database_and_for_the_role_that_it_was_written_for(
    name: str, oid: int, owner: str, comment: str | None, why: str
) -> None:
    found = Database.found(name, oid, owner, comment, 0, role="boss")

    assert found.label == (None if why else WRITTEN)
    assert why in found.foreign
    assert bool(found.foreign) == bool(why)
    assert found.of_another_role == why.startswith("belongs")


def test_a_database_is_described_by_its_label_or_its_name() -> None:
    label = Label.create(Kind.RUN, "0123")

    labelled = Database("x_test", "boss", label, connections=0)
    unfinished = Database(f"{UNFINISHED}0", "boss", label, connections=0)
    foreign = Database("x_test", "boss", None, connections=0)

    assert (labelled.kind, labelled.made_by) == ("run", label.made_by)
    assert unfinished.kind == "unfinished"
    assert (foreign.kind, foreign.made_by, foreign.made_at) == ("foreign", "boss", "")
