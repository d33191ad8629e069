"""Factories that write through the current application's session.

The session is looked up at each call, through the current application, and never kept: neither on
a class nor on its ``_meta``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args, get_origin

from factory import declarations
from factory.alchemy import SQLAlchemyModelFactory, SQLAlchemyOptions
from factory.base import FactoryMetaClass, OptionDefault
from factory.enums import CREATE_STRATEGY
from flask import Flask, current_app, has_app_context
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, scoped_session

from ..errors import FactoryError
from ..randomness import stream
from .bulk.chunks.keys import Keys
from .bulk.create import create

EXTENSION = "flask_testbed_factories"

M = TypeVar("M")


@dataclass(frozen=True)
class FactoriesState:
    """What one application knows of its factories."""

    factories: Factories
    db: SQLAlchemy


class Factories:
    """The factories of an application: a Flask extension and a registry.

    A base class names it, and with it all that inherit from that class::

        factories = Factories()

        class BaseFactory(flask_testbed.factories.BaseFactory[M]):
            class Meta:
                abstract = True
                registry = factories

    Iterating gives every factory in the order of definition, without the abstract ones.
    """

    def __init__(self) -> None:
        self._by_path: dict[str, type[BaseFactory[Any]]] = {}

    def init_app(self, app: Flask, db: SQLAlchemy) -> None:
        """Let factories write through ``db.session`` while ``app`` is the current application.

        Opens no connection. Raises `FactoryError` if ``app`` has its factories already.
        """
        if EXTENSION in app.extensions:
            raise FactoryError(
                f"The application {app.name!r} has its factories already: call"
                " `factories.init_app(app, db)` once for each application."
            )
        app.extensions[EXTENSION] = FactoriesState(self, db)

    def __iter__(self) -> Iterator[type[BaseFactory[Any]]]:
        return iter(self._by_path.values())

    def __len__(self) -> int:
        return len(self._by_path)

    def __getitem__(self, name: str) -> type[BaseFactory[Any]]:
        """The factory called ``name``: ``"UserFactory"``, or ``"workspace.AgentFactory"``.

        What stands before the last dot are packages or modules in which it is defined, as many as
        it takes to tell it from its namesakes. Raises `FactoryError` if none or several match.
        """
        *places, short = name.split(".")
        found = [
            factory
            for factory in self
            if factory.__name__ == short and set(places) <= set(factory.__module__.split("."))
        ]
        if len(found) == 1:
            return found[0]
        if found:
            choices = " or ".join(repr(self.name_of(factory)) for factory in found)
            raise FactoryError(f"{name!r} is the name of {len(found)} factories: say {choices}.")
        known = ", ".join(sorted(self.name_of(factory) for factory in self)) or "none at all"
        raise FactoryError(f"No factory is called {name!r}. There are: {known}.")

    def name_of(self, factory: type[BaseFactory[Any]]) -> str:
        """The shortest name by which the registry knows ``factory`` from all others."""
        places = factory.__module__.split(".")
        others = [
            set(other.__module__.split("."))
            for other in self
            if other.__name__ == factory.__name__ and other is not factory
        ]
        if not others:
            return factory.__name__
        for place in places:
            if all(place not in other for other in others):
                return f"{place}.{factory.__name__}"
        return f"{factory.__module__}.{factory.__name__}"

    def for_model(self, model: type[M]) -> tuple[type[BaseFactory[M]], ...]:
        """Every factory of exactly this model, the most general first; empty if there is none."""
        return tuple(factory for factory in self if factory._meta.model is model)

    def _add(self, factory: type[BaseFactory[Any]]) -> None:
        # A module that is loaded again replaces its factories.
        self._by_path[f"{factory.__module__}.{factory.__qualname__}"] = factory


def factories_of(app: Flask) -> list[type[BaseFactory[Any]]]:
    """The factories that are registered with an application; none without a registry."""
    known: FactoriesState | None = app.extensions.get(EXTENSION)
    return list(known.factories) if known is not None else []


def trait_names(factory: type[BaseFactory[Any]]) -> list[str]:
    """The names of the traits of ``factory``, inherited ones too, in the order of definition."""
    return [
        name
        for name, parameter in factory._meta.parameters.items()
        if isinstance(parameter, declarations.Trait)
    ]


@dataclass
class _Call:
    """One call of a factory, with all the rows that it makes."""

    session: Session
    #: What the caller gave for the row that is being made now, as opposed to what was generated.
    given: Mapping[str, Any] = field(default_factory=dict)


_current_call: ContextVar[_Call | None] = ContextVar("flask_testbed_call", default=None)


@contextlib.contextmanager
def writing_to(session: Session) -> Iterator[None]:
    """Inside, factories write to ``session`` and leave its transaction to whoever opened it.

    They flush, whatever their ``sqlalchemy_session_persistence``, and never commit.
    """
    token = _current_call.set(_Call(session))
    try:
        yield
    finally:
        _current_call.reset(token)


def _current_session(factory: type[BaseFactory[Any]]) -> Session:
    if not has_app_context():
        raise FactoryError(
            f"{factory.__name__} writes to the database of the current application, and there is"
            " no application context. Use it inside `with app.app_context():`, in a test that has"
            f" the `app` fixture, or in `flask shell`; `{factory.__name__}.build()` needs none."
        )
    state: FactoriesState | None = current_app.extensions.get(EXTENSION)
    if state is None:
        raise FactoryError(
            f"{factory.__name__} cannot write: the application {current_app.name!r} has no"
            " factories. Either `factories.init_app(app, db)` was not called, or the current"
            " application is not the one that it was called for."
        )
    return state.db.session()


@contextlib.contextmanager
def _committed(session: Session) -> Iterator[None]:
    try:
        yield
        session.commit()
    except BaseException:
        session.rollback()
        raise


def _transaction(
    session: Session, persistence: str | None
) -> contextlib.AbstractContextManager[object]:
    """What a whole call runs in: all of its rows are kept, or none."""
    if persistence == "commit":
        return _committed(session)
    if persistence == "flush":
        # The transaction is the caller's; a savepoint undoes this call and nothing else.
        return session.begin_nested()
    return contextlib.nullcontext()


class _Options(SQLAlchemyOptions):  # type: ignore[misc]  # factory_boy is Any to mypy
    """What ``class Meta`` of a factory may say, and the state of its counters."""

    def __init__(self) -> None:
        super().__init__()
        self._epoch = 0
        self._counter_epoch = 0

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

    # The place to register: in `__init_subclass__`, the model is not known yet.
    def contribute_to_class(self, factory: type[BaseFactory[Any]], **context: Any) -> None:
        super().contribute_to_class(factory, **context)
        if not self.abstract and self.registry is not None:
            self.registry._add(factory)

    def instantiate(self, step: Any, args: Any, kwargs: Any) -> Any:
        if step.builder.strategy != CREATE_STRATEGY:
            return super().instantiate(step, args, kwargs)
        with self.factory._call() as call:
            call.given = step.builder.extras
            return super().instantiate(step, args, kwargs)

    def next_sequence(self) -> int:
        self.start_over()
        number: int = super().next_sequence()
        stream.note(self.counter_reference, number)
        return number

    def reset_sequence(self, value: int | None = None, force: bool = False) -> None:
        # A number that was set on purpose outlives the reseeding that came before it.
        self.counter_reference._counter_epoch = stream.epoch
        super().reset_sequence(value, force=force)

    def start_over(self) -> None:
        """Send the counter and the iterators back to their start, once after each reseeding."""
        if self._epoch == stream.epoch:
            return
        self._epoch = stream.epoch
        stream.fresh()
        self._restart_iterators()
        # A descendant counts with its ancestor's counter.
        owner = self.counter_reference
        if owner._counter_epoch != stream.epoch:
            owner.reset_sequence(stream.first(owner) or None)

    def _restart_iterators(self) -> None:
        pre = self.pre_declarations
        for value in (*pre.declarations.values(), *pre.contexts.values()):
            for iterator in _iterators(value):
                if id(iterator) not in stream.restarted:
                    stream.restarted.add(id(iterator))
                    iterator.reset()


def _iterators(value: Any) -> Iterator[declarations.Iterator]:
    """Every ``factory.Iterator`` in a declaration, also those inside a trait or a dictionary."""
    if isinstance(value, declarations.Iterator):
        yield value
    elif isinstance(value, declarations.Maybe):
        yield from _iterators(value.yes)
        yield from _iterators(value.no)
    elif isinstance(value, declarations.BaseDeclaration):
        yield from _iterators(value._defaults)
    elif isinstance(value, dict):
        for part in value.values():
            yield from _iterators(part)


def _model_parameter(factory: type) -> type | None:
    """The model in ``class F(BaseFactory[Model])``; None if there is none, or a type variable."""
    for base in vars(factory).get("__orig_bases__", ()):
        if isinstance(get_origin(base), FactoryMetaClass):
            (argument,) = get_args(base)
            return argument if isinstance(argument, type) else None
    return None


class BaseFactory(SQLAlchemyModelFactory, Generic[M]):  # type: ignore[misc]  # Any to mypy
    """A factory of rows: ``class UserFactory(BaseFactory[User])``, no ``Meta.model`` needed.

    ``UserFactory()`` and ``.create()`` write to the current application's session, ``.build()``
    to none. ``Meta.sqlalchemy_session_persistence`` of the factory that is called decides for the
    whole call, parents and children included:

    - ``"commit"`` (the default): each row is flushed as it is made, and the session is committed
      once, at the end. If anything fails, the session is rolled back, as after any commit that
      fails, and can be used again.
    - ``"flush"``: flushed, in a savepoint. If anything fails, only this call is undone.
    - ``None``: added to the session.

    A batch is one call. So is whatever the hooks and the lazy declarations of a factory create.
    ``_session=`` gives one call another session; no application context is needed then.

    The options of ``class Meta`` are those of factory_boy, without its two for sessions, and
    ``registry``: the `Factories` that the factory belongs to.
    """

    _options_class = _Options

    class Meta:
        abstract = True
        sqlalchemy_session_persistence = "commit"

    if TYPE_CHECKING:
        # What factory_boy's metaclass does: calling the class makes a row, not a factory.
        def __new__(cls, **values: Any) -> M: ...  # type: ignore[misc]

    @classmethod
    def build(cls, **values: Any) -> M:
        """An object that no session knows, with its parents; needs no application."""
        row: M = super().build(**values)
        return row

    @classmethod
    def build_batch(cls, size: int, **values: Any) -> list[M]:
        """As many objects as `build` would make one by one."""
        rows: list[M] = super().build_batch(size, **values)
        return rows

    @classmethod
    def create(cls, **values: Any) -> M:
        """A row in the database, with its parents.

        Raises `FactoryError` without an application, and what the database raises if it refuses.
        """
        row: M = super().create(**values)
        return row

    @classmethod
    def create_batch(cls, size: int, **values: Any) -> list[M]:
        """As many rows as ``size`` says, in one commit."""
        with cls._call(values.pop("_session", None)):
            rows: list[M] = super().create_batch(size, **values)
        return rows

    @classmethod
    def create_bulk(
        cls,
        size: int,
        *,
        _session: Session | scoped_session[Session] | None = None,
        _exact: bool = False,
        **values: Any,
    ) -> Keys:
        """As many rows as ``size`` says, made column by column and written by COPY.

        They come from the same declarations as those of `create_batch`, and are kept as those are:
        committed at the end by default. Parents and children are made in bulk, too; `from_rows`
        gives parents that are there. Memory does not grow with the number, but for the keys.

        :param _exact: make each row as `create` does, hooks included, and forget it.
        :return: the keys, in the order of the rows.
        :raises BulkError: something needs each row as an object; a value in a unique column would
            repeat; the database refuses a row. Nothing of the call is kept then.
        """
        with cls._call(_session) as call:
            return create(cls, size, values, session=call.session, known=BaseFactory, exact=_exact)

    @classmethod
    def _generate(cls, strategy: str, params: dict[str, Any]) -> Any:
        session = params.pop("_session", None)
        cls._meta.start_over()
        # Not `SQLAlchemyModelFactory._generate`: it keeps the parameters on the class.
        generate = super(SQLAlchemyModelFactory, cls)._generate
        if strategy != CREATE_STRATEGY:
            return generate(strategy, params)
        with cls._call(session):
            return generate(strategy, params)

    @classmethod
    @contextlib.contextmanager
    def _call(cls, session: Session | scoped_session[Session] | None = None) -> Iterator[_Call]:
        """The call that is under way, or a new one with a transaction of its own."""
        if isinstance(session, scoped_session):
            session = session()
        current = _current_call.get()
        if current is not None and session in (None, current.session):
            yield current
            return
        call = _Call(session or _current_session(cls))
        token = _current_call.set(call)
        try:
            with _transaction(call.session, cls._meta.sqlalchemy_session_persistence):
                yield call
        finally:
            _current_call.reset(token)

    @classmethod
    def _create(cls, model_class: type[M], *args: Any, **kwargs: Any) -> M:
        with cls._call() as call:
            if cls._meta.sqlalchemy_get_or_create:
                return cls._get_or_create(model_class, call.session, args, kwargs)
            return cls._save(model_class, call.session, args, kwargs)

    @classmethod
    def _save(cls, model_class: type[M], session: Session, args: Any, kwargs: dict[str, Any]) -> M:
        row: M = cls._build(model_class, *args, **kwargs)
        session.add(row)
        # Hooks and lazy declarations may want the key that the database generates.
        if cls._meta.sqlalchemy_session_persistence is not None:
            session.flush()
        return row

    @classmethod
    def _get_or_create(
        cls, model_class: type[M], session: Session, args: Any, kwargs: dict[str, Any]
    ) -> M:
        fields = cls._meta.sqlalchemy_get_or_create
        missing = [name for name in fields if name not in kwargs]
        if missing:
            raise FactoryError(
                f"{cls.__name__} looks its rows up by {missing[0]!r} (sqlalchemy_get_or_create)"
                " and has no value for it: declare one, or give it in the call."
            )
        key = {name: kwargs[name] for name in fields}
        row = _find(session, model_class, key)
        if row is not None:
            return row
        with cls._call() as call:
            given = {name: value for name, value in key.items() if name in call.given}
        try:
            # A conflict undoes this row and nothing else. The row is made inside the savepoint:
            # made before, it would linger in its parents' collections.
            with session.begin_nested():
                return cls._save(model_class, session, args, kwargs)
        except IntegrityError:
            # Another transaction was faster, or what was given belongs to a row that differs in
            # what was generated.
            row = _find(session, model_class, key)
            if row is None and given:
                row = _find(session, model_class, given)
            if row is None:
                raise
            return row

    @classmethod
    def _after_postgeneration(
        cls, instance: M, create: bool, results: Mapping[str, Any] | None = None
    ) -> None:
        # The call that is under way saves what the hooks changed. There is none only if a factory
        # of another kind made this row as a part of its own.
        if create and results:
            with cls._call():
                pass


def _find(session: Session, model: type[M], key: Mapping[str, Any]) -> M | None:
    return session.scalars(select(model).filter_by(**key)).one_or_none()
