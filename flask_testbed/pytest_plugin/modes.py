"""How each test is isolated: its marker decides, else the command line, its folder, the default."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from ..isolation.mode import Isolation, Mode

MODES: tuple[Mode, ...] = get_args(Mode)

MARKER = (
    "isolation(mode, *, reset_sequences=False): isolate the test by 'commit' or by 'rollback';"
    " with reset_sequences, sequences are reset in rollback mode too"
)


class Modes:
    """The settings that decide how each test is isolated.

    :param config: each line of its ``testbed_isolation`` is a mode, or a folder or file below the
        root directory and a mode: ``tests/browser = commit``.
    :raises pytest.UsageError: a line is neither.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._option: Mode | None = config.getoption("testbed_isolation")
        self._reset_sequences = bool(config.getini("testbed_reset_sequences"))
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

    def of(self, test: pytest.Item) -> Isolation:
        """Return how a test is isolated.

        :raises TypeError, ValueError: its marker is wrong.
        """
        marker = test.get_closest_marker("isolation")
        if marker is not None:
            return self._marked(test.nodeid, *marker.args, **marker.kwargs)
        mode = self._option or self._mode_of_place(test.path)
        return Isolation(mode, self._reset_sequences, test.nodeid)

    def _mode_of_place(self, path: Path) -> Mode:
        return next((mode for at, mode in self._places if path.is_relative_to(at)), self._default)

    def _marked(self, test: str, /, mode: Any, *, reset_sequences: bool | None = None) -> Isolation:
        """Read the arguments of a marker. Python reports those that are wrong."""
        if mode not in MODES:
            raise ValueError(f"isolation({mode!r}): write 'commit' or 'rollback'")
        if reset_sequences is None:
            reset_sequences = self._reset_sequences
        return Isolation(mode, reset_sequences, test)
