"""Keep the configuration of logging while migrations run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def logging_kept() -> Iterator[None]:
    """Disable messages up to INFO, and restore the configuration of logging in the end.

    Alembic's ``env.py`` usually configures logging, as is right for a command of its own.
    """
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    loggers = [log for log in root.manager.loggerDict.values() if isinstance(log, logging.Logger)]
    kept = [(log, log.level, log.disabled, list(log.handlers), log.propagate) for log in loggers]
    disabled = root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(disabled)
        root.handlers[:] = handlers
        root.setLevel(level)
        for log, log_level, log_disabled, log_handlers, propagate in kept:
            log.setLevel(log_level)
            log.disabled, log.propagate = log_disabled, propagate
            log.handlers[:] = log_handlers
