"""What all commands have in common."""

from __future__ import annotations

from typing import Any

import click
from flask.cli import AppGroup

from .errors import TestbedError


class Group(AppGroup):
    """A group of commands in the application's context, that say an error in one sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; exit with status 1 and the message if the testbed refuses or fails."""
        try:
            return super().invoke(ctx)
        except TestbedError as error:
            raise click.ClickException(str(error)) from error


def table(headings: list[str], rows: list[list[str]]) -> str:
    """Lay out a table for a terminal. Columns of numbers are aligned to the right."""
    lines = [headings, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    numeric = [all(row[i].replace(",", "").isdigit() for row in rows) for i in range(len(widths))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )
