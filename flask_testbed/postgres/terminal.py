"""Messages for a person who waits at a terminal."""

from __future__ import annotations

import os
import sys
from contextlib import suppress


def tell_terminal(sentence: str) -> None:
    """Print a sentence if standard error is a terminal, or was one before pytest captured it."""
    if sys.stderr.isatty():
        print(sentence, file=sys.stderr, flush=True)
    elif "PYTEST_CURRENT_TEST" in os.environ and "PYTEST_XDIST_WORKER" not in os.environ:
        # pytest has replaced stderr by a file, and shows it after the test.
        with suppress(OSError), open("/dev/tty", "w") as terminal:
            print(f"\n{sentence}", file=terminal, flush=True)
