"""What all commands have in common."""

from __future__ import annotations


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
