"""``python -m benchmarks NAME``: each module of this package that has a ``command``."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

_NOT_COMMANDS = {"__init__", "__main__", "measure"}


class Benchmarks(click.Group):
    """A group whose commands are modules, imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the benchmarks."""
        modules = (path.stem for path in Path(__file__).parent.glob("*.py"))
        return sorted(name for name in modules if name not in _NOT_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The benchmark of a name, if there is one."""
        if name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f"benchmarks.{name}").command
        return command


@click.group(cls=Benchmarks)
def main() -> None:
    """Measure the engine beside its peers and the floor, in one run.

    The machine is noisy: compare the ratios of one run, not the figures of two.

    \b
    Example:
      python -m benchmarks isolation
    """


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
