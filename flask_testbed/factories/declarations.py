"""Declarations for factories: keys, moments and related rows that one seed repeats exactly."""

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
    """A random `uuid.UUID` (version 4), not a string: a string makes two identities of one row."""

    def evaluate(self, instance: Any, step: Any, extra: dict[str, Any]) -> uuid.UUID:
        return random_uuid()


class Token(BaseDeclaration):  # type: ignore[misc]  # factory_boy is Any to mypy
    """A random text of ``length`` hexadecimal digits, for columns that must be unique.

    A sequence starts over with each test and each process, and so repeats what is in the database
    already. Twelve digits, the default, collide once in 140 million when 2,000 rows have them.
    """

    def __init__(self, length: int = 12) -> None:
        super().__init__()
        self.length = length

    def evaluate(self, instance: Any, step: Any, extra: dict[str, Any]) -> str:
        return f"{generator().getrandbits(4 * self.length):0{self.length}x}"


class Ago(BaseDeclaration):  # type: ignore[misc]  # factory_boy is Any to mypy
    """A moment (UTC) before now: exactly ``least`` before, or between ``least`` and ``most``.

    Now is the real one, or in a scenario the one that the scenario is played for.
    """

    def __init__(self, least: timedelta, most: timedelta | None = None) -> None:
        super().__init__()
        self.least = least
        self.most = most

    def evaluate(self, instance: Any, step: Any, extra: dict[str, Any]) -> datetime:
        return now() - spread(self.least, self.most)


class After(BaseDeclaration):  # type: ignore[misc]  # factory_boy is Any to mypy
    """A moment after that of the attribute called ``start``: ``least`` later, at most ``most``."""

    def __init__(self, start: str, least: timedelta, most: timedelta | None = None) -> None:
        super().__init__()
        self.start = start
        self.least = least
        self.most = most

    def evaluate(self, instance: Any, step: Any, extra: dict[str, Any]) -> datetime:
        start: datetime = getattr(instance, self.start)
        return start + spread(self.least, self.most)


class Derived(BaseDeclaration):  # type: ignore[misc]  # factory_boy is Any to mypy
    """What ``function`` makes of the attribute called ``name``, and of nothing else.

    The same as a `LazyAttribute`, but for the promise, which lets bulk creation call the function
    once for each different value: ``slug = Derived("title", slugify)``.
    """

    def __init__(self, name: str, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.name = name
        self.function = function

    def evaluate(self, instance: Any, step: Any, extra: dict[str, Any]) -> Any:
        return self.function(getattr(instance, self.name))


class OnRequest(PostGeneration):  # type: ignore[misc]  # factory_boy is Any to mypy
    """A hook that runs only if the call gives it a value that is true, or values of its own.

    Like `PostGeneration`, its function gets the row, whether it is created, the value, and the
    rest. Bulk creation skips it where it is not asked for, and refuses it where it is.
    """

    def call(self, instance: Any, step: Any, context: Any) -> Any:
        if context.value or context.extra:
            return super().call(instance, step, context)
        return None


class SharedParent(SubFactory):  # type: ignore[misc]  # factory_boy is Any to mypy
    """The parent that a given sibling already has, else a new one.

    In a factory of feedback, which has an agent and an execution of that same agent::

        agent = SharedParent(AgentFactory, "execution.agent")
        execution = SubFactory(ExecutionFactory, agent=SelfAttribute("..agent"))

    A call that gives ``execution`` gets the execution's agent, one that gives ``agent`` an
    execution of that agent, one that gives neither an agent and its execution. Several paths are
    tried in turn: the first whose sibling is given wins.
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
    """What ``path`` leads to from a row that the call gives, also as ``execution__agent=``."""
    for depth in range(1, len(path) + 1):
        row = given.get("__".join(path[:depth]))
        if row is not None:
            # Of a sibling, the call may give a declaration; it is evaluated by now, or will be.
            row = getattr(instance, path[0]) if depth == 1 else row
            for name in path[depth:]:
                row = getattr(row, name)
            return row
    return None


class KeyOf(SubFactory):  # type: ignore[misc]  # factory_boy is Any to mypy
    """The ``id`` of a new parent, for a key that the model knows as a column only."""

    def evaluate(self, instance: Any, step: Any, extra: dict[str, Any]) -> Any:
        return super().evaluate(instance, step, extra).id


class RelatedBatch(RelatedFactory):  # type: ignore[misc]  # factory_boy is Any to mypy
    """As many related rows as the call asks for; none unless it does.

    With ``with_executions = RelatedBatch("factories.AgentExecutionFactory", "agent")``, the call
    ``AgentFactory(with_executions=3)`` makes three executions whose ``agent`` is the new row.
    ``with_executions__failed=True`` goes to each of them. All are part of the one call: built if
    it builds, committed once with it if it creates.

    Raises `FactoryError` if the number is not a whole one, 0 or more.
    """

    def call(self, instance: Any, step: Any, context: Any) -> list[Any]:
        size = 0 if context.value is None else context.value
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise FactoryError(
                f"{size!r} is not a number of related rows: give a whole number, 0 or more."
            )
        values = {**self.defaults, **context.extra, self.name: instance}
        return [step.recurse(self.get_factory(), dict(values)) for _ in range(size)]
