"""What a type checker knows of factories."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT

TYPED = """
from typing import Generic, TypeVar
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from flask_testbed.factories import BaseFactory

class Base(DeclarativeBase):
    pass

class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)

class UserFactory(BaseFactory[User]):
    id = 1

class AdminFactory(UserFactory):
    pass

reveal_type(UserFactory())
reveal_type(UserFactory.create(id=2))
reveal_type(UserFactory.build())
reveal_type(UserFactory.create_batch(3))
reveal_type(UserFactory.build_batch(3))
reveal_type(AdminFactory())
UserFactory().nothing
"""


#: Kept for the next run: without it, this takes as long as a check of SQLAlchemy.
CACHE = ROOT / ".mypy_cache" / "typed"


def test_a_type_checker_knows_what_a_call_gives(tmp_path: Path) -> None:
    file = tmp_path / "typed.py"
    file.write_text(TYPED)

    outcome = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={CACHE}", file],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={"MYPYPATH": str(ROOT), "PATH": ""},
    )

    said = [
        line.partition("typed.py:")[2].partition(": ")[2] for line in outcome.stdout.splitlines()
    ]
    assert [line for line in said if line] == [
        'note: Revealed type is "typed.User"',
        'note: Revealed type is "typed.User"',
        'note: Revealed type is "typed.User"',
        'note: Revealed type is "list[typed.User]"',
        'note: Revealed type is "list[typed.User]"',
        'note: Revealed type is "typed.User"',
        'error: "User" has no attribute "nothing"  [attr-defined]',
    ]


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "flask_testbed/py.typed").read_text() == ""
