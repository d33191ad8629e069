"""A row of a chunk, as factory_boy's own methods see it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from factory import enums
from factory.builder import BuildStep, StepBuilder

from .views import Rows


class PerRow:
    """Marks a value in a call that differs from row to row."""


class Supplied(PerRow):
    """Stands in a call for values that each chunk is supplied with."""


class Steps:
    """Creates factory_boy's build steps for the rows of a chunk."""

    def __init__(self, rows: Rows, factory: Any, given: Mapping[str, Any]) -> None:
        self._rows = rows
        self._factory = factory
        self._given = given
        self._per_row = [name for name, value in given.items() if isinstance(value, PerRow)]

    def step(self, at: int) -> BuildStep:
        """Return the step that a declaration is evaluated in for a row."""
        rows, container = self._rows, self._rows.container
        step = BuildStep(
            builder=self._builder_of(at) if self._per_row else self._common_builder,
            sequence=rows.sequences[at],
            parent_step=(
                None if container is None else container.step(rows.container_positions[at])
            ),
        )
        step.stub = rows.partial_row(at)
        return step

    @cached_property
    def _common_builder(self) -> StepBuilder:
        return self._builder(dict(self._given))

    def _builder_of(self, at: int) -> StepBuilder:
        values = {name: self._rows.value(name, at) for name in self._per_row}
        return self._builder({**self._given, **values})

    def _builder(self, extras: dict[str, Any]) -> StepBuilder:
        return StepBuilder(self._factory._meta, extras, enums.CREATE_STRATEGY)


def evaluate(rows: Rows, at: int, declaration: Any, context: Mapping[str, Any]) -> Any:
    """Evaluate a declaration for one row, through factory_boy's own methods."""
    if enums.get_builder_phase(declaration) != enums.BuilderPhase.ATTRIBUTE_RESOLUTION:
        return declaration
    return declaration.evaluate_pre(
        instance=rows.partial_row(at), step=rows.step(at), overrides=dict(context)
    )
