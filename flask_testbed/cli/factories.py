"""The commands ``factories``."""

from __future__ import annotations

import contextlib
import json
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import click
from flask import Flask, current_app
from flask.cli import AppGroup

from .._compat import unproxied
from ..errors import FactoryError
from ..factories.base import BaseFactory
from ..factories.graph.graph import find_graph, mermaid
from ..factories.graph.svg import svg
from ..factories.lint.linter import Fault, LintReport, lint
from ..factories.registry import FactoriesState, trait_names
from ..factories.scaffold import find_models, scaffold
from ..factories.scaffold.formatting import NOT_FORMATTED
from ..factories.sessions import EXTENSION
from .common import table


@click.group("factories", cls=AppGroup)
def factories() -> None:
    """Look at the application's factories.

    \b
    Example:
      flask factories list
      flask factories lint
    """


@factories.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for another program.")
def list_factories(as_json: bool) -> None:
    """Show every factory with its model, its table and its traits.

    \b
    Example:
      flask factories list --json
    """
    registry = FactoriesState.of(current_app).factories
    found = [_described(registry.name_of(factory), factory) for factory in registry]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    rows = [[one["factory"], one["model"], one["table"]] for one in found]
    lines = table(["factory", "model", "table"], rows).splitlines()
    click.echo(lines[0])
    for line, one in zip(lines[1:], found, strict=True):
        click.echo(line)
        if one["traits"]:
            click.echo(_wrapped(", ".join(one["traits"]), "    "))


@factories.command("lint")
@click.argument("names", nargs=-1, metavar="[FACTORY]...")
@click.option(
    "--samples",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="How often to call each factory, plain and with its traits in turn.",
)
@click.option(
    "--random-seed", default="0", show_default=True, help="The same one gives the same values."
)
@click.option("--partial", is_flag=True, help="Do not report models without a factory.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for another program.")
def lint_factories(
    names: tuple[str, ...], samples: int, random_seed: str, partial: bool, as_json: bool
) -> None:
    """Try factories, with each of their traits, against the database and its constraints.

    The rows are written to a test database, which is dropped afterwards. The exit status is 1 if
    there is a fault, or a model without a factory.

    \b
    Example:
      flask factories lint
      flask factories lint UserFactory --samples 10000
    """
    app: Flask = unproxied(current_app)
    report = lint(
        app,
        names,
        samples=samples,
        random_seed=random_seed,
        partial=partial,
        progress=_progress if _is_terminal(sys.stderr) else None,
    )
    click.echo(json.dumps(report.as_json(), indent=2) if as_json else described(report))
    sys.exit(0 if report.clean else 1)


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty()


@factories.command("graph")
@click.option(
    "--format",
    "form",
    type=click.Choice(["mermaid", "svg"]),
    default="mermaid",
    show_default=True,
    help="A flowchart's text, or a picture.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this new file, not to the terminal.",
)
def draw_factories(form: str, output: Path | None) -> None:
    """Show which factories create rows of which others.

    \b
    Example:
      flask factories graph
      flask factories graph --format svg --output factories.svg
    """
    graph = find_graph(FactoriesState.of(current_app).factories)
    text = svg(graph) if form == "svg" else mermaid(graph)
    if output is None:
        click.echo(text, nl=False)
    else:
        _write_new(output, text)
        click.echo(f"Wrote {output}.")


@factories.command("scaffold")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this new file, not to the terminal.",
)
def scaffold_factories(models: tuple[str, ...], output: Path | None) -> None:
    """Write factories for models that have none, from columns, constraints and relations.

    A MODEL is module:Class, or a module for all of its models. A factory is also written for each
    model that a non-null foreign key refers to, unless there is one. Needs no database.

    \b
    Example:
      flask factories scaffold app.models:User
      flask factories scaffold app.models --output tests/factories.py
    """
    state: FactoriesState | None = current_app.extensions.get(EXTENSION)
    source = scaffold(find_models(models), state.factories if state else None)
    if source.startswith(NOT_FORMATTED):
        click.echo(NOT_FORMATTED.removeprefix("# "), err=True)
    if output is None:
        click.echo(source, nl=False)
        return
    _write_new(output, source)
    click.echo(f"Wrote {output}. Read it, then try it: flask factories lint")


def _write_new(file: Path, text: str) -> None:
    """Write a file that does not exist yet."""
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise FactoryError(
            f"{str(file)!r} exists already and is not overwritten. Name another file, or move it."
        ) from None
    except OSError as error:
        raise FactoryError(f"{str(file)!r} cannot be written: {error.strerror}.") from error


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[int], object]]:
    with click.progressbar(length=total, label="Calling", file=sys.stderr) as bar:
        yield bar.update


def described(report: LintReport) -> str:
    """Return a report as text, at most 80 columns wide."""
    parts = [_described_fault(fault) for fault in report.faults]
    if report.without_factory:
        parts.append(_listed("Models without a factory:", report.without_factory))
    for because in ("nullable", "default", "server default"):
        columns = [f"{one.table}.{one.column}" for one in report.unfilled if one.because == because]
        if columns:
            parts.append(_listed(f"Columns that no factory fills ({because}):", columns))
    parts.append(_summary(report))
    return "\n\n".join(parts)


def _described_fault(fault: Fault) -> str:
    called = fault.factory + (f", trait {fault.trait}" if fault.trait else "")
    where = ", ".join(f"{fault.table}.{name}" if fault.table else name for name in fault.columns)
    constraint = f"{fault.kind} {fault.constraint}" if fault.constraint else fault.kind
    lines = [
        called,
        f"  {where or fault.table or 'no column'}: {constraint}",
        f"  {_failures(fault)}",
    ]
    lines += textwrap.wrap(fault.message, 76, initial_indent="  ", subsequent_indent="  ")
    return "\n".join(lines)


def _failures(fault: Fault) -> str:
    """Return which strategies failed, and how many samples."""
    tried = ", ".join(fault.strategies)
    samples = f"{fault.failed:,} of {fault.samples:,} samples" if fault.failed else ""
    return "in " + ", and in ".join(part for part in (tried, samples) if part)


def _listed(heading: str, items: Any) -> str:
    text = ", ".join(items)
    return f"{heading}\n{_wrapped(text, '  ')}"


def _wrapped(text: str, indent: str) -> str:
    """Wrap a text at 80 columns."""
    return textwrap.fill(text, 80, initial_indent=indent, subsequent_indent=indent)


def _summary(report: LintReport) -> str:
    tried = (
        f"{_counted(report.factories, 'factory', 'factories')},"
        f" {_counted(report.traits, 'trait', 'traits')}, {report.samples:,} samples each"
        f" (random seed {report.random_seed}), in {report.seconds:.1f} s:"
    )
    found = _counted(len(report.faults), "fault", "faults") if report.faults else "no fault"
    missing = len(report.without_factory)
    if missing:
        found += f", {_counted(missing, 'model', 'models')} without a factory"
    return f"{tried}\n{found}."


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _described(name: str, factory: type[BaseFactory[Any]]) -> dict[str, Any]:
    model = factory._meta.model
    return {
        "factory": name,
        "model": model.__name__,
        "table": str(getattr(model, "__tablename__", "")),
        "traits": trait_names(factory),
    }
