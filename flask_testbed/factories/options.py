"""The options of a factory's ``class Meta``, and its counters, which start over when reseeded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from factory import declarations
from factory.alchemy import SQLAlchemyOptions
from factory.base import FactoryMetaClass, OptionDefault
from factory.enums import CREATE_STRATEGY

from .._compat import defaults_of
from ..errors import FactoryError
from ..randomness import stream
from .sessions import calling


class FactoryOptions(SQLAlchemyOptions):  # type: ignore[misc]  # factory_boy is Any to mypy
    """The options of a factory, and the state of its counter.

    The methods that it overrides are not documented. factory_boy 3.3.
    """

    def __init__(self) -> None:
        super().__init__()
        self.epoch = 0
        """The `stream.epoch` in which the factory was last used."""

        self.counter_epoch = 0
        """The `stream.epoch` in which its counter was last set."""

    def _build_default_options(self) -> list[OptionDefault]:
        return [*super()._build_default_options(), OptionDefault("registry", None, inherit=True)]

    def _fill_from_meta(self, meta: type | None, base_meta: Any) -> None:
        for option in ("sqlalchemy_session", "sqlalchemy_session_factory"):
            if getattr(meta, option, None) is not None:
                raise FactoryError(
                    f"{self.factory.__name__}.Meta sets {option!r}, which would outlive the test:"
                    " remove it. The session is found at each call through the current"
                    " application; `_session=` gives one call another."
                )
        super()._fill_from_meta(meta, base_meta)
        parameter = _model_parameter(self.factory)
        if parameter is not None and not hasattr(meta, "model"):
            self.model = parameter

    # Factories are registered here and not in `__init_subclass__`, where the model is not known.
    def contribute_to_class(self, factory: type[Any], **context: Any) -> None:
        super().contribute_to_class(factory, **context)
        if not self.abstract and self.registry is not None:
            self.registry.register(factory)

    def instantiate(self, step: Any, args: Any, kwargs: Any) -> Any:
        if step.builder.strategy != CREATE_STRATEGY:
            return super().instantiate(step, args, kwargs)
        with calling(self.factory) as call:
            call.given = step.builder.extras
            return super().instantiate(step, args, kwargs)

    def next_sequence(self) -> int:
        self.start_over()
        number: int = super().next_sequence()
        stream.note(self.counter_reference, number)
        return number

    def reset_sequence(self, value: int | None = None, force: bool = False) -> None:
        # A number that was set after a reseeding must not be reset by it.
        self.counter_reference.counter_epoch = stream.epoch
        super().reset_sequence(value, force=force)

    def start_over(self) -> None:
        """Reset the counter and the iterators, once after each reseeding."""
        if self.epoch == stream.epoch:
            return
        self.epoch = stream.epoch
        stream.fresh()
        self._restart_iterators()
        # A factory that inherits from one of the same model shares its counter.
        owner = self.counter_reference
        if owner.counter_epoch != stream.epoch:
            owner.reset_sequence(stream.first(owner) or None)

    def _restart_iterators(self) -> None:
        pre = self.pre_declarations
        for value in (*pre.declarations.values(), *pre.contexts.values()):
            for iterator in _iterators(value):
                stream.restart(iterator)


def _iterators(value: Any) -> Iterator[declarations.Iterator]:
    """Yield every ``factory.Iterator`` in a declaration, also inside a trait or a dictionary."""
    if isinstance(value, declarations.Iterator):
        yield value
    elif isinstance(value, declarations.Maybe):
        yield from _iterators(value.yes)
        yield from _iterators(value.no)
    elif isinstance(value, declarations.BaseDeclaration):
        yield from _iterators(defaults_of(value))
    elif isinstance(value, dict):
        for part in value.values():
            yield from _iterators(part)


def _model_parameter(factory: type) -> type | None:
    """Return the model in ``class F(BaseFactory[Model])``, or None."""
    for base in vars(factory).get("__orig_bases__", ()):
        if isinstance(get_origin(base), FactoryMetaClass):
            (argument,) = get_args(base)
            return argument if isinstance(argument, type) else None
    return None
