"""Options, output and groups that the commands share."""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from importlib import import_module
from typing import Any

import click
from flask.cli import AppGroup

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for another program."
)

force_option = click.option("--force", is_flag=True, help="End the connections of other programs.")


class DeferredGroup(AppGroup):
    """A group of commands whose module is imported when one of them is needed.

    :param name: the name of the group, and of the variable in its module.
    :param module: the name of a module in this package.
    :param short_help: the first sentence of the group's help, for the list of all commands.
    """

    def __init__(self, name: str, module: str, short_help: str) -> None:
        super().__init__(name, short_help=short_help)
        self._module = module

    @property
    def group(self) -> click.Group:
        """The group, which is imported at first use."""
        found: click.Group = getattr(import_module(f".{self._module}", __package__), str(self.name))
        return found

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return self.group.list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or None if the group has no command of that name."""
        return self.group.get_command(ctx, cmd_name)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help text of the group."""
        self.group.format_help_text(ctx, formatter)


def echo_json(value: Any) -> None:
    """Print a value as JSON: a dataclass, a dictionary, or a list of them."""
    click.echo(json.dumps(value, indent=2, default=_as_dict))


def _as_dict(value: Any) -> dict[str, Any]:
    if not is_dataclass(value) or isinstance(value, type):
        raise TypeError(f"{value!r} cannot be written as JSON")
    return asdict(value)


def table(headings: list[str], rows: list[list[str]]) -> str:
    """Return a table for a terminal, with columns of numbers aligned to the right."""
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
