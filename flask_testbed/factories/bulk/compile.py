"""Which declaration is evaluated how."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from factory import Faker, base, declarations, enums, fuzzy

from ..declarations import After, Ago, Derived, KeyOf, SharedParent, Token, Uuid
from .chunks.chunk import Given, Node, Plan, Supplied, Workshop
from .chunks.values import MISSING
from .nodes.drawn import MomentsAfter, MomentsAgo, RandomIntegers, RandomTokens, RandomUuids
from .nodes.parents import KeysOf, Parents, Parts, SharedParents, given_path
from .nodes.pooled import CastUuids, Choices, Derivation, Fakes
from .nodes.reading import Attribute, Branches, Constant
from .nodes.row_by_row import Calls, Native, Numbered, NumberedRowFunction, RowFunction
from .nodes.shared import FromRows, Shared

#: By the exact type: what a subclass does is not known, so factory_boy evaluates it.
_DRAWN: dict[type, Callable[[str, Any], Node]] = {
    After: MomentsAfter,
    Ago: MomentsAgo,
    Derived: lambda _, derived: Derivation(derived),
    Token: RandomTokens,
    Uuid: lambda name, _: RandomUuids(name),
    declarations.LazyAttribute: lambda name, lazy: RowFunction(name, lazy.function),
    declarations.LazyAttributeSequence: lambda name, lazy: NumberedRowFunction(name, lazy.function),
    declarations.SelfAttribute: lambda _, attribute: Attribute(attribute),
    declarations.Sequence: lambda name, sequence: Numbered(name, sequence.function),
    fuzzy.FuzzyChoice: Choices,
    fuzzy.FuzzyInteger: RandomIntegers,
}


class DeclarationCompiler:
    """Makes nodes of declarations; what makes rows of other factories is made in a workshop."""

    def __init__(
        self, workshop: Workshop, session: Any, is_native: Callable[[Any, Mapping[str, Any]], bool]
    ) -> None:
        """:param is_native: whether the rows of a factory can only be made one by one."""
        self.workshop = workshop
        self.session = session
        self.is_native = is_native

    def __call__(self, plan: Plan, name: str, declaration: Any, context: Mapping[str, Any]) -> Node:
        if isinstance(declaration, FromRows):
            return Shared(name, declaration, self.session)
        if isinstance(declaration, Given):
            return Supplied(name)
        if enums.get_builder_phase(declaration) is None:
            return Constant(MISSING if declaration is declarations.SKIP else declaration)
        kind = type(declaration)
        if kind is declarations.Maybe:
            return self._branches(plan, name, declaration, context)
        if isinstance(declaration, declarations.SubFactory):
            return self._rows(plan, name, declaration, context)
        if kind is Faker:
            return _faker(name, declaration, context)
        if kind is declarations.LazyFunction:
            return _call(name, declaration.function)
        if kind in _DRAWN and not context:
            return _DRAWN[kind](name, declaration)
        return Native(name, declaration, context)

    def _branches(self, plan: Plan, name: str, maybe: Any, context: Mapping[str, Any]) -> Node:
        return Branches(
            partial(self, plan, f"{name}.if", maybe.decider, {}),
            partial(self, plan, f"{name}.yes", maybe.yes, context),
            # Where a trait is not set, a row is what it is without the trait.
            partial(self, plan, name, maybe.no, context),
        )

    def _rows(self, plan: Plan, name: str, declaration: Any, context: Mapping[str, Any]) -> Node:
        native = Native(name, declaration, context)
        kind, factory = type(declaration), declaration.get_factory()
        given = {**declaration._defaults, **context}
        if kind in (declarations.Dict, declarations.List):
            if factory in (base.DictFactory, base.ListFactory):
                return Parts(self.workshop, plan, name, given, factory)
            return native
        if kind is SharedParent:
            path = given_path(plan, declaration)
            if path is not None:
                return SharedParents(path, native)
        elif kind not in (KeyOf, declarations.SubFactory):
            return native
        if self.is_native(factory, given):
            return native
        parents = Parents(self.workshop, plan, name, given, factory)
        return KeysOf(parents) if kind is KeyOf else parents


def _call(name: str, function: Callable[[], Any]) -> Node:
    # Python's own is seeded by nothing.
    return RandomUuids(name) if function is uuid.uuid4 else Calls(name, function)


def _faker(name: str, faker: Any, context: Mapping[str, Any]) -> Node:
    parameters = {**faker._defaults, **context}
    if any(enums.get_builder_phase(value) for value in parameters.values()):
        return Native(name, faker, context)
    if faker.provider == "uuid4":
        return CastUuids(name, parameters.get("cast_to", str))
    return Fakes(name, faker, context)
