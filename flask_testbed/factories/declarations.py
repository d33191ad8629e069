"""Declarations for factories. Under the same seed, they give the same values."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from factory.declarations import BaseDeclaration, PostGeneration, RelatedFactory, SubFactory

from ..errors import FactoryError
from ..randomness import generator, now, random_uuid, spread

__all__ = [
    "After",
    "Ago",
    "Derived",
    "KeyOf",
    "OnRequest",
    "RelatedBatch",
    "SharedParent",
    "Token",
    "Uuid",
]


class Uuid(BaseDeclaration):  # type: ignore[misc]  # factory_boy is Any to mypy
    """A random `uuid.UUID` (version 4).

    It is no string: the session would take a string and the UUID that it reads for two keys.
    """

    def evaluate(self, instance: Any, step: Any, extra: dict[str, Any]) -> uuid.UUID:
        return random_uuid()


class Token(BaseDeclaration):  # type: ignore[misc]  # factory_boy is Any to mypy
    """A random string of ``length`` hexadecimal digits, for columns that must be unique.

    A sequence starts over with each test and each process, so that its values may be in the
    database already. With the default of twelve digits, the probability that two of 2,000 rows
    have the same token is one in 140 million.
    """

    def __init__(self, length: int = 12) -> None:
        super().__init__()
        self.length = length

    def evaluate(self, instance: Any, step: Any, extra: dict[str, Any]) -> str:
        return f"{generator().getrandbits(4 * self.length):0{self.length}x}"


class Ago(BaseDeclaration):  # type: ignore[misc]  # factory_boy is Any to mypy
    """A moment (UTC) before now: exactly ``least`` before, or between ``least`` and ``most``.

    In a scenario, now is the moment that the scenario describes.
    """

    def __init__(self, least: timedelta, most: timedelta | None = None) -> None:
        super().__init__()
        self.least = least
        self.most = most

    def evaluate(self, instance: Any, step: Any, extra: dict[str, Any]) -> datetime:
        return now() - spread(self.least, self.most)


class After(BaseDeclaration):  # type: ignore[misc]  # factory_boy is Any to mypy
    """A moment after the attribute called ``start``: between ``least`` and ``most`` later.

    Without ``most``, it is exactly ``least`` later.
    """

    def __init__(self, start: str, least: timedelta, most: timedelta | None = None) -> None:
        super().__init__()
        self.start = start
        self.least = least
        self.most = most

    def evaluate(self, instance: Any, step: Any, extra: dict[str, Any]) -> datetime:
        start: datetime = getattr(instance, self.start)
        return start + spread(self.least, self.most)


class Derived(BaseDeclaration):  # type: ignore[misc]  # factory_boy is Any to mypy
    """The result of ``function`` for the attribute called ``name``.

    Unlike a `LazyAttribute`, it depends on nothing else, so that bulk creation calls the function
    once for each different value: ``slug = Derived("title", slugify)``.
    """

    def __init__(self, name: str, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.name = name
        self.function = function

    def evaluate(self, instance: Any, step: Any, extra: dict[str, Any]) -> Any:
        return self.function(getattr(instance, self.name))


class OnRequest(PostGeneration):  # type: ignore[misc]  # factory_boy is Any to mypy
    """A hook that runs only if the call gives it a true value, or values with its prefix.

    Its function has the parameters of a `PostGeneration` hook: the row, whether it is created, the
    value, and the values with its prefix. Bulk creation raises an error if the hook would run.
    """

    def call(self, instance: Any, step: Any, context: Any) -> Any:
        if context.value or context.extra:
            return super().call(instance, step, context)
        return None


class SharedParent(SubFactory):  # type: ignore[misc]  # factory_boy is Any to mypy
    """The parent of a sibling that the call gives, or a new parent.

    In a factory of feedback, which has an agent and an execution of that same agent::

        agent = SharedParent(AgentFactory, "execution.agent")
        execution = SubFactory(ExecutionFactory, agent=SelfAttribute("..agent"))

    If a call gives ``execution``, the agent is that of the execution. If it gives ``agent``, a new
    execution of that agent is made. If it gives neither, both are new. Several paths are tried in
    turn: the first whose sibling is given is used.
    """

    def __init__(self, factory: Any, *paths: str, **defaults: Any) -> None:
        super().__init__(factory, **defaults)
        self.paths = paths

    def evaluate(self, instance: Any, step: Any, extra: dict[str, Any]) -> Any:
        for path in self.paths:
            parent = _given_parent(instance, step.builder.extras, path.split("."))
            if parent is not None:
                return parent
        return super().evaluate(instance, step, extra)


def _given_parent(instance: Any, given: dict[str, Any], path: list[str]) -> Any:
    """Follow ``path`` from a row that the call gives, also as ``execution__agent=``."""
    for depth in range(1, len(path) + 1):
        row = given.get("__".join(path[:depth]))
        if row is not None:
            # The call may give a declaration of the sibling: read its value.
            row = getattr(instance, path[0]) if depth == 1 else row
            for name in path[depth:]:
                row = getattr(row, name)
            return row
    return None


class KeyOf(SubFactory):  # type: ignore[misc]  # factory_boy is Any to mypy
    """The ``id`` of a new parent, for a foreign key without a relationship in the model."""

    def evaluate(self, instance: Any, step: Any, extra: dict[str, Any]) -> Any:
        return super().evaluate(instance, step, extra).id


class RelatedBatch(RelatedFactory):  # type: ignore[misc]  # factory_boy is Any to mypy
    """A number of related rows that each call chooses; 0 by default.

    With ``with_executions = RelatedBatch("factories.AgentExecutionFactory", "agent")``, the call
    ``AgentFactory(with_executions=3)`` makes three executions whose ``agent`` is the new row.
    ``with_executions__failed=True`` is passed to each of them. They are part of the call: they are
    built if it builds, and committed with it if it creates.

    :raises FactoryError: the number is not a whole number, 0 or more.
    """

    def call(self, instance: Any, step: Any, context: Any) -> list[Any]:
        size = related_size(context.value)
        values = {**self.defaults, **context.extra, self.name: instance}
        return [step.recurse(self.get_factory(), dict(values)) for _ in range(size)]


def related_size(value: Any) -> int:
    """Return the number of related rows that a call asks for by a value."""
    size = 0 if value is None else value
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise FactoryError(
            f"{size!r} is not a number of related rows: give a whole number, 0 or more."
        )
    return size
