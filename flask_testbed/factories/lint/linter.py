"""Checks every factory against the database, and reports all faults at once."""

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

from ...application.databases import databases_of
from ...application.target import target_of
from ...errors import FactoryError
from ...randomness import reseed
from ...sandbox.sandbox import Sandbox
from ..base import BaseFactory
from ..registry import Factories, FactoriesState, trait_names
from .findings import Finding
from .trials import FactoryCall, Sampled, Trials, trials

__all__ = ["Fault", "LintReport", "Unfilled", "lint"]

STRATEGIES = ("build", "create", "create_batch")

Advance = Callable[[int], object]
"""Called with the number of calls that were made since the last time."""


@dataclass(frozen=True)
class Fault:
    """A reason why the database, or the model, refuses rows of a factory."""

    factory: str
    trait: str | None
    """Name of the trait; ``None`` for a plain call, whose faults are not repeated for traits."""

    kind: str
    """See `.findings.Finding.kind`."""

    table: str | None
    columns: tuple[str, ...]
    constraint: str | None
    message: str
    strategies: tuple[str, ...]
    """The strategies that failed when each was called once; empty if only samples failed."""

    failed: int
    """Number of samples that failed."""

    samples: int
    """Number of samples that were made with the trait, or plain."""


@dataclass(frozen=True)
class Unfilled:
    """A column that no factory sets."""

    model: str
    table: str
    column: str
    because: str
    """Why it needs no value: ``nullable``, ``default`` or ``server default``."""


@dataclass(frozen=True)
class LintReport:
    """The result of `lint`."""

    faults: tuple[Fault, ...]
    without_factory: tuple[str, ...]
    """The models that no factory makes, each as ``Name (module)``."""

    unfilled: tuple[Unfilled, ...]
    factories: int
    traits: int
    samples: int
    """Number of samples of each factory."""

    random_seed: str
    seconds: float

    @property
    def clean(self) -> bool:
        """Whether there is neither a fault nor a model without a factory."""
        return not self.faults and not self.without_factory

    def as_json(self) -> dict[str, Any]:
        """Return the report as a dictionary of JSON."""
        return {"clean": self.clean, **asdict(self)}


def lint(
    app: Flask,
    names: Sequence[str] = (),
    *,
    samples: int = 1000,
    random_seed: str = "0",
    partial: bool = False,
    progress: Callable[[int], contextlib.AbstractContextManager[Advance]] | None = None,
) -> LintReport:
    """Call every factory, plain and with each of its traits, with every strategy.

    In a test, the test's database is used; otherwise a new test database is created, and dropped
    afterwards. All rows are created in a transaction that is rolled back.

    :param names: names of the factories to call; by default all.
    :param samples: how many more calls each factory gets, plain and with its traits in turn.
    :param random_seed: a text; the same one gives the same values.
    :param partial: do not report models without a factory.
    :param progress: called with the number of samples; returns a context manager that gives a
        function, which is called with the number of samples that were made since its last call.
    :raises FactoryError: the application has no factories, or none of that name; or its models
        cannot be configured.
    :raises TestbedError: the test database cannot be created.
    """
    begun = time.perf_counter()
    state = FactoriesState.of(app)
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


def _configure_models() -> None:
    try:
        configure_mappers()
    except InvalidRequestError as error:
        raise FactoryError(
            f"The models cannot be configured, so no factory works: {error}"
        ) from error


@contextlib.contextmanager
def _test_database(app: Flask) -> Iterator[None]:
    """Redirect the application to new test databases, unless it is redirected already."""
    with contextlib.ExitStack() as stack:
        for database in databases_of(app):
            if database.route.is_redirected:
                continue
            sandbox = Sandbox(database, target_of(database))
            stack.callback(sandbox.close)
            url = sandbox.url()
            for route in database.routes.values():
                stack.enter_context(route.detour(url))
        yield


@dataclass
class _Linter:
    """Calls factories, and turns findings into faults."""

    factories: Factories
    trials: Trials
    samples: int
    random_seed: str

    def lint(self, factory: type[BaseFactory[Any]], advance: Advance) -> list[Fault]:
        """Return the faults of one factory."""
        name = self.factories.name_of(factory)
        traits = [None, *trait_names(factory)]
        reseed(f"lint/{self.random_seed}/{name}")
        tried = {
            (trait, strategy): self.trials.attempt(FactoryCall(factory, strategy, trait))
            for trait in traits
            for strategy in STRATEGIES
        }
        calls = [FactoryCall(factory, "create", trait) for trait in traits]
        sampled = self.trials.sample(calls, self.samples, advance)
        faults = [
            fault
            for trait, call in zip(traits, calls, strict=True)
            for fault in _faults(name, call, {s: tried[trait, s] for s in STRATEGIES}, sampled)
        ]
        return list(_without_repetitions(faults))


def _faults(
    name: str, call: FactoryCall, tried: dict[str, Finding | None], sampled: Sampled
) -> Iterator[Fault]:
    """Yield each fault of one way of calling a factory once."""
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


def _without_repetitions(faults: Iterable[Fault]) -> Iterator[Fault]:
    """Leave out the faults of traits that a plain call has, too."""
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
    """Return whether a model only serves as a base class: no row can have its identity."""
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
            continue  # No call got as far as a flush, which is reported as a fault.
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
    """Return why a column needs no value; ``None`` if the database or the mapper sets it."""
    generated = column.identity or column.computed
    numbered = column is column.table.autoincrement_column
    if numbered or generated or column is mapper.polymorphic_on or column is mapper.version_id_col:
        return None
    if column.server_default is not None:
        return "server default"
    if column.default is not None:
        return "default"
    return "nullable" if column.nullable else None
