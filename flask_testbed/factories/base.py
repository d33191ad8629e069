"""The class that factories inherit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from factory.alchemy import SQLAlchemyModelFactory
from factory.enums import CREATE_STRATEGY
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, scoped_session

from ..errors import FactoryError
from .bulk.chunks.keys import Keys
from .bulk.create import create
from .options import FactoryOptions
from .sessions import calling

M = TypeVar("M")


class BaseFactory(SQLAlchemyModelFactory, Generic[M]):  # type: ignore[misc]  # Any to mypy
    """A factory of rows: ``class UserFactory(BaseFactory[User])``, without ``Meta.model``.

    ``UserFactory()`` and ``.create()`` write to the current application's session; ``.build()``
    uses no session. ``Meta.sqlalchemy_session_persistence`` of the factory that is called applies
    to the whole call, parents and children included:

    - ``"commit"`` (the default): each row is flushed when it is made, and the session is committed
      once, at the end. If anything fails, the session is rolled back and can be used again.
    - ``"flush"``: the rows are flushed in a savepoint. If anything fails, only this call is
      undone.
    - ``None``: the rows are added to the session.

    A batch is one call. Rows that hooks and lazy declarations of a factory create belong to it.
    ``_session=`` gives one call another session; it needs no application context then.

    ``class Meta`` takes the options of factory_boy, except its two for sessions, and ``registry``:
    the `Factories` that the factory belongs to.
    """

    _options_class = FactoryOptions

    class Meta:
        abstract = True
        sqlalchemy_session_persistence = "commit"

    if TYPE_CHECKING:
        # factory_boy's metaclass makes a row, not a factory, when the class is called.
        def __new__(cls, **values: Any) -> M: ...  # type: ignore[misc]

    @classmethod
    def build(cls, **values: Any) -> M:
        """Return an instance, with its parents, that is in no session. No application is needed."""
        row: M = super().build(**values)
        return row

    @classmethod
    def build_batch(cls, size: int, **values: Any) -> list[M]:
        """Return ``size`` instances that are in no session."""
        rows: list[M] = super().build_batch(size, **values)
        return rows

    @classmethod
    def create(cls, **values: Any) -> M:
        """Create a row, with its parents, and return its instance.

        :raises FactoryError: there is no application context, or the application has no factories.
        :raises sqlalchemy.exc.DBAPIError: the database refuses a row.
        """
        row: M = super().create(**values)
        return row

    @classmethod
    def create_batch(cls, size: int, **values: Any) -> list[M]:
        """Create ``size`` rows in one transaction, and return their instances."""
        with calling(cls, values.pop("_session", None)):
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
        """Create ``size`` rows column by column, write them by COPY, and return their keys.

        The rows come from the same declarations as those of `create_batch`, and are committed in
        the same way. Parents and children are also made in bulk; `from_rows` gives existing
        parents. Except for the keys, the memory that is needed does not depend on ``size``.

        :param _exact: make each row as `create` does, hooks included, without keeping it.
        :return: the keys, in the order of the rows.
        :raises BulkError: a hook needs each row as an object; a value of a unique column would
            repeat; the database refuses a row. No row of the call is kept then.
        """
        with calling(cls, _session) as call:
            return create(cls, size, values, session=call.session, base=BaseFactory, exact=_exact)

    @classmethod
    def _generate(cls, strategy: str, params: dict[str, Any]) -> Any:
        session = params.pop("_session", None)
        cls._meta.start_over()
        # Skip `SQLAlchemyModelFactory._generate`, which keeps the parameters on the class.
        generate = super(SQLAlchemyModelFactory, cls)._generate
        if strategy != CREATE_STRATEGY:
            return generate(strategy, params)
        with calling(cls, session):
            return generate(strategy, params)

    @classmethod
    def _create(cls, model_class: type[M], *args: Any, **kwargs: Any) -> M:
        with calling(cls) as call:
            if cls._meta.sqlalchemy_get_or_create:
                return cls._get_or_create(model_class, call.session, args, kwargs)
            return cls._save(model_class, call.session, args, kwargs)

    @classmethod
    def _save(cls, model_class: type[M], session: Session, args: Any, kwargs: dict[str, Any]) -> M:
        row: M = cls._build(model_class, *args, **kwargs)
        session.add(row)
        # Hooks and lazy declarations may need the key that the database generates.
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
        with calling(cls) as call:
            given = {name: value for name, value in key.items() if name in call.given}
        try:
            # A conflict undoes this row alone. The row is made inside the savepoint, since it
            # would otherwise stay in its parents' collections.
            with session.begin_nested():
                return cls._save(model_class, session, args, kwargs)
        except IntegrityError:
            # Another transaction has created the row meanwhile, or the given values belong to a
            # row that differs in the generated ones.
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
        # The call under way saves what the hooks have changed. There is no call only if a factory
        # that is no BaseFactory made this row; then a new call saves it.
        if create and results:
            with calling(cls):
                pass


def _find(session: Session, model: type[M], key: Mapping[str, Any]) -> M | None:
    return session.scalars(select(model).filter_by(**key)).one_or_none()
