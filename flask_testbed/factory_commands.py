"""The commands ``factories``."""

from __future__ import annotations

import json
from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup

from .commands import table
from .errors import FactoryError
from .factories import EXTENSION, BaseFactory, FactoriesState, trait_names


@click.group("factories", cls=AppGroup)
def factories() -> None:
    """Look at the application's factories.

    \b
    Example:
      flask factories list
    """


@factories.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for another program.")
def list_factories(as_json: bool) -> None:
    """Show every factory with its model, its table and its traits.

    \b
    Example:
      flask factories list --json
    """
    described = [_described(name, factory) for name, factory in _named_factories()]
    if as_json:
        click.echo(json.dumps(described, indent=2))
        return
    rows = [[*map(str, list(row.values())[:3]), ", ".join(row["traits"])] for row in described]
    click.echo(table(["factory", "model", "table", "traits"], rows))


def _named_factories() -> list[tuple[str, type[BaseFactory[Any]]]]:
    state: FactoriesState | None = current_app.extensions.get(EXTENSION)
    if state is None:
        raise FactoryError(
            f"The application {current_app.name!r} has no factories:"
            " call `factories.init_app(app, db)` for it."
        )
    return [(state.factories.name_of(factory), factory) for factory in state.factories]


def _described(name: str, factory: type[BaseFactory[Any]]) -> dict[str, Any]:
    model = factory._meta.model
    return {
        "factory": name,
        "model": model.__name__,
        "table": str(getattr(model, "__tablename__", "")),
        "traits": trait_names(factory),
    }
