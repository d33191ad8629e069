"""How each test is isolated: its marker says it, else the command line, its folder, the default."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from ..isolation.mode import Isolation, Mode

MODES: tuple[Mode, ...] = get_args(Mode)

MARKER = (
    "isolation(mode, *, reset_sequences=False): how the test is isolated, by 'commit' or by"
    " 'rollback'; with reset_sequences, keys begin anew in rollback mode too"
)


class Modes:
    """The choices of a session.

    :param config: its lines of ``testbed_isolation`` are either a mode, or a folder or file of
        the root directory and a mode: ``tests/browser = commit``.
    :raises pytest.UsageError: a line is neither.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._given: Mode | None = config.getoption("testbed_isolation")
        self._sequences = bool(config.getini("testbed_reset_sequences"))
        self._default: Mode = "commit"
        self._places: list[tuple[Path, Mode]] = []
        for line in config.getini("testbed_isolation"):
            place, _, mode = line.rpartition("=")
            self._add(config.rootpath / place.strip() if place.strip() else None, mode.strip())
        # The innermost folder comes first.
        self._places.sort(key=lambda found: -len(found[0].parts))

    def _add(self, place: Path | None, mode: str) -> None:
        known = next((one for one in MODES if one == mode), None)
        if known is None:
            raise pytest.UsageError(
                f"testbed_isolation: {mode!r} is no way to isolate tests. Write 'commit' or"
                " 'rollback', or a folder and one of them: tests/browser = commit"
            )
        if place is None:
            self._default = known
        elif place.exists():
            self._places.append((place, known))
        else:
            raise pytest.UsageError(f"testbed_isolation: there is no folder or file {place}.")

    def of(self, item: pytest.Item) -> Isolation:
        """How a test is isolated.

        :raises TypeError, ValueError: its marker is wrong.
        """
        marker = item.get_closest_marker("isolation")
        if marker is not None:
            return _choice(item.nodeid, self._sequences, *marker.args, **marker.kwargs)
        return Isolation(self._given or self._placed(item.path), self._sequences, item.nodeid)

    def _placed(self, path: Path) -> Mode:
        return next((mode for at, mode in self._places if path.is_relative_to(at)), self._default)


def _choice(
    test: str, default: bool, mode: Any, *, reset_sequences: bool | None = None
) -> Isolation:
    """What the arguments of a marker mean. Python reports those that are wrong."""
    if mode not in MODES:
        raise ValueError(f"isolation({mode!r}): write 'commit' or 'rollback'")
    return Isolation(mode, default if reset_sequences is None else reset_sequences, test)
