"""The kinds of values that the types of columns hold."""

from __future__ import annotations

import enum
from typing import Any

from psycopg.adapt import PyFormat, Transformer
from sqlalchemy import types
from sqlalchemy.dialects import postgresql

from ..._compat import enum_members, postgresql_variant
from .python import name

__all__ = ["DIALECT", "Kind", "kind_of", "members_of", "misfit", "undecorated"]

DIALECT: Any = postgresql.psycopg.dialect()  # type: ignore[no-untyped-call]


class Kind(enum.Enum):
    """What a value is to PostgreSQL."""

    TEXT = enum.auto()
    INTEGER = enum.auto()
    DECIMAL = enum.auto()
    FLOAT = enum.auto()
    DATETIME = enum.auto()
    DATE = enum.auto()
    TIME = enum.auto()
    INTERVAL = enum.auto()
    BOOLEAN = enum.auto()
    UUID = enum.auto()
    BYTES = enum.auto()
    JSON = enum.auto()
    ARRAY = enum.auto()
    INET = enum.auto()
    CIDR = enum.auto()
    MACADDR = enum.auto()
    RANGE = enum.auto()
    DICT = enum.auto()
    BITS = enum.auto()
    TSVECTOR = enum.auto()
    DECORATED = enum.auto()
    """The application's own type, made of another one."""

    OTHER = enum.auto()


# The first match counts, so a subclass stands before its base class.
_KINDS: list[tuple[Any, Kind]] = [
    (types.Boolean, Kind.BOOLEAN),
    (types.Uuid, Kind.UUID),
    (types.JSON, Kind.JSON),
    (postgresql.HSTORE, Kind.DICT),
    (types.ARRAY, Kind.ARRAY),
    (postgresql.INET, Kind.INET),
    (postgresql.CIDR, Kind.CIDR),
    (postgresql.MACADDR, Kind.MACADDR),
    (postgresql.ranges.AbstractMultiRange, Kind.OTHER),
    (postgresql.ranges.AbstractRange, Kind.RANGE),
    (postgresql.BIT, Kind.BITS),
    (postgresql.TSVECTOR, Kind.TSVECTOR),
    (postgresql.INTERVAL, Kind.INTERVAL),
    (types.Interval, Kind.INTERVAL),
    (types.PickleType, Kind.DICT),
    (types.LargeBinary | types.BINARY | types.VARBINARY, Kind.BYTES),
    (types.Integer, Kind.INTEGER),
    (types.Float, Kind.FLOAT),
    (types.Numeric, Kind.DECIMAL),
    (types.DateTime, Kind.DATETIME),
    (types.Date, Kind.DATE),
    (types.Time, Kind.TIME),
    (types.String, Kind.TEXT),
    (postgresql.CITEXT, Kind.TEXT),
]

#: The type decorators of SQLAlchemy itself.
_NOT_DECORATED = (types.Interval, types.PickleType)


def kind_of(column_type: types.TypeEngine[Any], *, decorated: bool = False) -> Kind:
    """Return the kind of the values that a type holds.

    :param decorated: return `Kind.DECORATED` for the application's own types.
    """
    if decorated and _is_decorated(column_type):
        return Kind.DECORATED
    column_type = undecorated(column_type)
    if isinstance(column_type, postgresql.DOMAIN):
        return kind_of(column_type.data_type)
    return next((kind for found, kind in _KINDS if isinstance(column_type, found)), Kind.OTHER)


def _is_decorated(column_type: Any) -> bool:
    return isinstance(column_type, types.TypeDecorator) and not isinstance(
        column_type, _NOT_DECORATED
    )


def undecorated(column_type: Any) -> Any:
    """Return the type that PostgreSQL sees, without the application's own types around it."""
    while _is_decorated(column_type):
        column_type = column_type.load_dialect_impl(DIALECT)
    return postgresql_variant(column_type)


def members_of(column_type: Any) -> list[tuple[str, Any]]:
    """Return the members of an enumeration: their source, and their values as they are stored.

    Empty if the type is not an enumeration.
    """
    if isinstance(column_type, types.Enum) and not isinstance(column_type, types.TypeDecorator):
        if column_type.enum_class is None:
            return [(repr(value), value) for value in column_type.enums]
        members = enum_members(column_type)
        return [(_member(members[one]), one) for one in column_type.enums if one in members]
    if isinstance(column_type, types.TypeDecorator):
        for value in vars(column_type).values():
            if isinstance(value, enum.EnumMeta):
                every: list[Any] = list(value)
                accepted = [one for one in every if misfit(column_type, one) is None]
                return [(_member(one), stored(column_type, one)) for one in accepted]
        return members_of(column_type.impl_instance)
    return []


def _member(member: Any) -> str:
    kind = type(member)
    return name(kind.__module__, f"{kind.__qualname__}.{member.name}")


def stored(column_type: types.TypeEngine[Any], value: Any) -> Any:
    """Return a value as it is stored."""
    process = column_type.dialect_impl(DIALECT).bind_processor(DIALECT)
    return process(value) if process else value


def misfit(column_type: types.TypeEngine[Any], value: Any) -> Exception | None:
    """Return why a type does not accept a value, or does not return it as it was.

    ``None`` if it accepts the value.
    """
    kind = column_type.dialect_impl(DIALECT)
    try:
        bound = stored(column_type, value)
        Transformer().get_dumper(bound, PyFormat.AUTO)
        process = kind.result_processor(DIALECT, None)
        returned = process(bound) if process else bound
    # The application's own type may raise any exception.
    except Exception as error:
        return error
    return None if returned == value else ValueError(f"{value!r} is returned as {returned!r}")
