"""What all commands have in common."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for another program."
)


def echo_json(value: Any) -> None:
    """Print a dataclass, or a list of them, as JSON."""
    plain = [asdict(item) for item in value] if isinstance(value, list) else asdict(value)
    click.echo(json.dumps(plain, indent=2))


def table(headings: list[str], rows: list[list[str]]) -> str:
    """Lay out a table for a terminal. Columns of numbers are aligned to the right."""
    lines = [headings, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    numeric = [all(row[i].replace(",", "0").isdigit() for row in rows) for i in range(len(widths))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )
