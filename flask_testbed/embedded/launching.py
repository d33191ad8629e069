"""Run the keeper, and other programs that must end."""

from __future__ import annotations

import json
import os
import sys
from select import select
from subprocess import DEVNULL, PIPE, Popen

from . import keeper
from .keeper import START_TIMEOUT, STOP_AT_MOST, Config, now


def launch(config: Config, environment: dict[str, str]) -> str | None:
    """Run the keeper in the background, and wait until its server accepts connections.

    :returns: the reason if the server does not start.
    """
    command = [sys.executable, "-I", "-S", keeper.__file__, json.dumps(config._asdict())]
    with Popen(
        command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, cwd="/", env=environment
    ) as program:
        answer, said = communicate_within(program, START_TIMEOUT + STOP_AT_MOST)
    if answer.strip() == b"ready":
        return None
    reason = " ".join((answer or said).decode(errors="replace").split())
    return reason or "Its keeper has died, or has not answered."


def communicate_within(program: Popen[bytes], seconds: float) -> tuple[bytes, ...]:
    """Return what a program prints, and kill it if it has not ended after some time.

    A timeout of :meth:`subprocess.Popen.communicate` needs the functions of :mod:`time`, which a
    test may have replaced.

    :returns: its output and its errors.
    """
    end = now() + seconds
    printed = {stream: b"" for stream in (program.stdout, program.stderr) if stream is not None}
    still_open = set(printed)
    try:
        while still_open and (left := end - now()) > 0:
            for stream in select(list(still_open), [], [], left)[0]:
                data = os.read(stream.fileno(), 4096)
                printed[stream] += data
                if not data:
                    still_open.remove(stream)
    finally:
        if still_open:
            program.kill()
    program.wait()
    return tuple(printed.values())
