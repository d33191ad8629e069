"""From a declaration to the node that evaluates it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from factory import Faker, base, declarations, enums, fuzzy

from ..._compat import defaults_of
from ..declarations import After, Ago, Derived, KeyOf, SharedParent, Token, Uuid
from .chunks.compiled import ColumnNode, CompiledFactory
from .chunks.parent_rows import RowMaker
from .chunks.steps import Supplied
from .chunks.values import MISSING
from .nodes.drawn import MomentsAfter, MomentsAgo, RandomIntegers, RandomTokens, RandomUuids
from .nodes.parents import Items, KeysOf, Parents, SharedParents, given_path
from .nodes.pooled import CastUuids, Choices, Derivation, Fakes
from .nodes.reading import Attribute, Branches, Constant, SuppliedColumn
from .nodes.row_by_row import Function, Native
from .nodes.shared import FromRows, Shared

#: By the exact type of the declaration: a subclass may behave differently, so factory_boy's own
#: methods evaluate it.
_BY_TYPE: dict[type, Callable[[str, Any], ColumnNode]] = {
    After: MomentsAfter,
    Ago: MomentsAgo,
    Derived: lambda _, derived: Derivation(derived),
    Token: RandomTokens,
    Uuid: lambda name, _: RandomUuids(name),
    declarations.LazyAttribute: lambda name, lazy: Function(name, lazy.function, row=True),
    declarations.LazyAttributeSequence: lambda name, lazy: Function(
        name, lazy.function, row=True, number=True
    ),
    declarations.SelfAttribute: lambda _, attribute: Attribute(attribute),
    declarations.Sequence: lambda name, lazy: Function(name, lazy.function, number=True),
    fuzzy.FuzzyChoice: Choices,
    fuzzy.FuzzyInteger: RandomIntegers,
}


class DeclarationCompiler:
    """Creates the nodes of declarations."""

    def __init__(
        self, maker: RowMaker, session: Any, is_native: Callable[[Any, Mapping[str, Any]], bool]
    ) -> None:
        """
        :param maker: makes the rows of other factories that declarations need.
        :param is_native: returns whether rows of a factory can only be made one by one.
        """
        self.maker = maker
        self.session = session
        self.is_native = is_native

    def __call__(
        self, compiled: CompiledFactory, name: str, declaration: Any, context: Mapping[str, Any]
    ) -> ColumnNode:
        if isinstance(declaration, FromRows):
            return Shared(name, declaration, self.session)
        if isinstance(declaration, Supplied):
            return SuppliedColumn(name)
        if enums.get_builder_phase(declaration) is None:
            return Constant(MISSING if declaration is declarations.SKIP else declaration)
        kind = type(declaration)
        if kind is declarations.Maybe:
            return self._branches(compiled, name, declaration, context)
        if isinstance(declaration, declarations.SubFactory):
            return self._nested(compiled, name, declaration, context)
        if kind is Faker:
            return _faker(name, declaration, context)
        if kind is declarations.LazyFunction:
            return _call(name, declaration.function)
        if kind in _BY_TYPE and not context:
            return _BY_TYPE[kind](name, declaration)
        return Native(name, declaration, context)

    def _branches(
        self, compiled: CompiledFactory, name: str, maybe: Any, context: Mapping[str, Any]
    ) -> ColumnNode:
        return Branches(
            partial(self, compiled, f"{name}.if", maybe.decider, {}),
            partial(self, compiled, f"{name}.yes", maybe.yes, context),
            # The stream of a row without the trait is that of a factory without the trait.
            partial(self, compiled, name, maybe.no, context),
        )

    def _nested(
        self, compiled: CompiledFactory, name: str, declaration: Any, context: Mapping[str, Any]
    ) -> ColumnNode:
        native = Native(name, declaration, context)
        kind, factory = type(declaration), declaration.get_factory()
        given, path = {**defaults_of(declaration), **context}, f"{compiled.path}.{name}"
        if kind in (declarations.Dict, declarations.List):
            if factory in (base.DictFactory, base.ListFactory):
                return Items(self.maker, path, factory, given)
            return native
        if kind is SharedParent:
            names = given_path(compiled, declaration)
            if names is not None:
                return SharedParents(names, native)
        elif kind not in (KeyOf, declarations.SubFactory):
            return native
        if self.is_native(factory, given):
            return native
        parents = Parents(self.maker, path, factory, given)
        return KeysOf(parents) if kind is KeyOf else parents


def _call(name: str, function: Callable[[], Any]) -> ColumnNode:
    # No seed governs `uuid.uuid4`.
    return RandomUuids(name) if function is uuid.uuid4 else Function(name, function)


def _faker(name: str, faker: Any, context: Mapping[str, Any]) -> ColumnNode:
    parameters = {**defaults_of(faker), **context}
    if any(enums.get_builder_phase(value) for value in parameters.values()):
        return Native(name, faker, context)
    if faker.provider == "uuid4":
        return CastUuids(name, parameters.get("cast_to", str))
    return Fakes(name, faker, context)
