"""Trying every factory against the database: all faults at once, and what no factory makes."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Column
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Mapper, configure_mappers

from ...application.databases import database_of
from ...application.target import target_of
from ...errors import FactoryError
from ...randomness import reseed
from ...sandbox.sandbox import Sandbox
from ..base import BaseFactory
from ..registry import Factories, FactoriesState, trait_names
from ..sessions import EXTENSION
from .findings import Finding
from .trials import Call, Sampled, Trials, trials

__all__ = ["Fault", "LintReport", "Unfilled", "lint"]

STRATEGIES = ("build", "create", "create_batch")

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Fault:
    """What is wrong with the rows of a factory."""

    factory: str
    trait: str | None
    """``None`` is a plain call. What fails in a plain call is not told again of each trait."""

    kind: str
    """See `.faults.Finding`."""

    table: str | None
    columns: tuple[str, ...]
    constraint: str | None
    message: str
    strategies: tuple[str, ...]
    """Those that failed when they were tried once; empty if only samples did."""

    failed: int
    """Of the samples."""

    samples: int
    """How many were made in this way."""


@dataclass(frozen=True)
class Unfilled:
    """A column to which no factory gives a value."""

    model: str
    table: str
    column: str
    because: str
    """Why the database does not mind: ``nullable``, ``default`` or ``server default``."""


@dataclass(frozen=True)
class LintReport:
    """What `lint` has found."""

    faults: tuple[Fault, ...]
    without_factory: tuple[str, ...]
    """Models, by name and module."""

    unfilled: tuple[Unfilled, ...]
    factories: int
    traits: int
    samples: int
    """Of each factory."""

    random_seed: str
    seconds: float

    @property
    def clean(self) -> bool:
        """Whether there is neither a fault nor a model without a factory."""
        return not self.faults and not self.without_factory

    def as_json(self) -> dict[str, Any]:
        """All of it, as a program reads it."""
        return {"clean": self.clean, **asdict(self)}


def lint(
    app: Flask,
    names: Sequence[str] = (),
    *,
    samples: int = 1000,
    random_seed: str = "0",
    partial: bool = False,
    progress: Callable[[int], contextlib.AbstractContextManager[Progress]] | None = None,
) -> LintReport:
    """Call every factory, plain and with each of its traits, by every strategy.

    It happens in a test database of its own, which is dropped afterwards; in a test, in the
    test's. In both, in a transaction that is rolled back.

    :param names: of the factories to try; all by default.
    :param samples: how often each factory is called besides, plain and with its traits in turn.
    :param random_seed: the same one gives the same values.
    :param partial: do not look for models without a factory.
    :param progress: gets the number of calls, and gives what is told of each.
    :raises FactoryError: the application has no factories, or none of that name; its models are
        wrong in themselves.
    :raises TestbedError: there is no test database to be had.
    """
    begun = time.perf_counter()
    state = _state(app)
    chosen = [state.factories[name] for name in names] or list(state.factories)
    _configure_models()
    show = progress or (lambda total: contextlib.nullcontext(lambda done: None))
    with _test_database(app), app.app_context(), trials(state.db) as running:
        linter = _Linter(state.factories, running, samples, random_seed)
        with show(len(chosen) * samples) as advance:
            faults = [fault for factory in chosen for fault in linter.lint(factory, advance)]
    partial = partial or bool(names)
    return LintReport(
        faults=tuple(faults),
        without_factory=() if partial else tuple(_without_factory(state)),
        unfilled=tuple(_unfilled(chosen, running.filled)),
        factories=len(chosen),
        traits=sum(len(trait_names(factory)) for factory in chosen),
        samples=samples,
        random_seed=random_seed,
        seconds=time.perf_counter() - begun,
    )


def _state(app: Flask) -> FactoriesState:
    state: FactoriesState | None = app.extensions.get(EXTENSION)
    if state is None:
        raise FactoryError(
            f"The application {app.name!r} has no factories:"
            " call `factories.init_app(app, db)` for it."
        )
    return state


def _configure_models() -> None:
    try:
        configure_mappers()
    except InvalidRequestError as error:
        raise FactoryError(f"The models cannot be used, and no factory works: {error}") from error


@contextlib.contextmanager
def _test_database(app: Flask) -> Iterator[None]:
    """Lead this thread to a new test database, unless the application is led to one already."""
    database = database_of(app)
    if database.route.is_redirected:
        yield
        return
    sandbox = Sandbox(database, target_of(database))
    try:
        with database.route.detour(sandbox.url()):
            yield
    finally:
        sandbox.close()


@dataclass
class _Linter:
    factories: Factories
    trials: Trials
    samples: int
    random_seed: str

    def lint(self, factory: type[BaseFactory[Any]], advance: Progress) -> list[Fault]:
        name = self.factories.name_of(factory)
        traits = [None, *trait_names(factory)]
        reseed(f"lint/{self.random_seed}/{name}")
        tried = {
            (trait, strategy): self.trials.attempt(Call(factory, strategy, trait))
            for trait in traits
            for strategy in STRATEGIES
        }
        calls = [Call(factory, "create", trait) for trait in traits]
        sampled = self.trials.sample(calls, self.samples, advance)
        faults = [
            fault
            for trait, call in zip(traits, calls, strict=True)
            for fault in _faults(name, call, {s: tried[trait, s] for s in STRATEGIES}, sampled)
        ]
        return list(_without_echoes(faults))


def _faults(
    name: str, call: Call, tried: dict[str, Finding | None], sampled: Sampled
) -> Iterator[Fault]:
    """What is wrong with one way of calling a factory, each thing once."""
    counts = sampled.found.get(call, Counter())
    for finding in dict.fromkeys([*filter(None, tried.values()), *counts]):
        yield Fault(
            factory=name,
            trait=call.trait,
            kind=finding.kind,
            table=finding.table,
            columns=finding.columns,
            constraint=finding.constraint,
            message=finding.message,
            strategies=tuple(s for s, found in tried.items() if found == finding),
            failed=counts.get(finding, 0),
            samples=sampled.calls[call],
        )


def _without_echoes(faults: Iterable[Fault]) -> Iterator[Fault]:
    """Leave out of the traits what a plain call shows too, and so has nothing to do with them."""
    plain = set()
    for fault in faults:
        what = (fault.kind, fault.table, fault.columns, fault.constraint)
        if fault.trait is None:
            plain.add(what)
        elif what in plain:
            continue
        yield fault


def _without_factory(state: FactoriesState) -> Iterator[str]:
    made = {factory._meta.model for factory in state.factories}
    for mapper in _mappers(state.db):
        if mapper.class_ not in made and not _is_abstract(mapper):
            yield f"{mapper.class_.__name__} ({mapper.class_.__module__})"


def _mappers(db: SQLAlchemy) -> list[Mapper[Any]]:
    models: Any = db.Model  # to mypy, it has no registry
    found: Iterable[Mapper[Any]] = models.registry.mappers
    return sorted(found, key=lambda mapper: (mapper.class_.__module__, mapper.class_.__name__))


def _is_abstract(mapper: Mapper[Any]) -> bool:
    """Whether a class is only there for others to inherit: no row can say that it is one."""
    discriminated = mapper.polymorphic_on is not None
    return (
        discriminated
        and mapper.polymorphic_identity is None
        and len(mapper.self_and_descendants) > 1
    )


def _unfilled(
    chosen: Iterable[type[BaseFactory[Any]]], filled: dict[type, set[str]]
) -> Iterator[Unfilled]:
    models = dict.fromkeys(factory._meta.model for factory in chosen)
    for model in models:
        mapper: Mapper[Any] = model.__mapper__
        known = filled.get(model)
        if known is None:
            continue  # no call has come so far, which is a fault
        by_relation = {
            column
            for relation in mapper.relationships
            if relation.key in known
            for column in relation.local_columns
        }
        for attribute in mapper.column_attrs:
            column = attribute.columns[0]
            if attribute.key in known or column in by_relation or not isinstance(column, Column):
                continue
            because = _because(column, mapper)
            if because is not None:
                yield Unfilled(model.__name__, str(column.table), column.name, because)


def _because(column: Column[Any], mapper: Mapper[Any]) -> str | None:
    """Why a column needs no value; ``None`` if it is nobody's business but the database's."""
    counted = column is column.table.autoincrement_column or column.identity or column.computed
    if counted or column is mapper.polymorphic_on or column is mapper.version_id_col:
        return None
    if column.server_default is not None:
        return "server default"
    if column.default is not None:
        return "default"
    return "nullable" if column.nullable else None
