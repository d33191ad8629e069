"""What the types of columns take."""

from __future__ import annotations

import enum
from typing import Any

from psycopg.adapt import PyFormat, Transformer
from sqlalchemy import types
from sqlalchemy.dialects import postgresql

from .python import Expression, literal, name

__all__ = ["DIALECT", "Kind", "kind_of", "members_of", "misfit", "undecorated"]

DIALECT: Any = postgresql.psycopg.dialect()  # type: ignore[no-untyped-call]


class Kind(enum.Enum):
    """Of a value, as far as making one goes."""

    TEXT = enum.auto()
    INTEGER = enum.auto()
    DECIMAL = enum.auto()
    FLOAT = enum.auto()
    MOMENT = enum.auto()
    DAY = enum.auto()
    TIME = enum.auto()
    SPAN = enum.auto()
    TRUTH = enum.auto()
    UUID = enum.auto()
    BYTES = enum.auto()
    JSON = enum.auto()
    ARRAY = enum.auto()
    ADDRESS = enum.auto()
    NETWORK = enum.auto()
    HARDWARE = enum.auto()
    RANGE = enum.auto()
    MAP = enum.auto()
    BITS = enum.auto()
    SEARCH = enum.auto()
    OWN = enum.auto()
    """A type of the application's own."""

    OTHER = enum.auto()


# The first that fits counts: a subclass comes before what it inherits from.
_KINDS: list[tuple[Any, Kind]] = [
    (types.Boolean, Kind.TRUTH),
    (types.Uuid, Kind.UUID),
    (types.JSON, Kind.JSON),
    (postgresql.HSTORE, Kind.MAP),
    (types.ARRAY, Kind.ARRAY),
    (postgresql.INET, Kind.ADDRESS),
    (postgresql.CIDR, Kind.NETWORK),
    (postgresql.MACADDR, Kind.HARDWARE),
    (postgresql.ranges.AbstractMultiRange, Kind.OTHER),
    (postgresql.ranges.AbstractRange, Kind.RANGE),
    (postgresql.BIT, Kind.BITS),
    (postgresql.TSVECTOR, Kind.SEARCH),
    (postgresql.INTERVAL, Kind.SPAN),
    (types.Interval, Kind.SPAN),
    (types.PickleType, Kind.MAP),
    (types.LargeBinary, Kind.BYTES),
    (types._Binary, Kind.BYTES),
    (types.Integer, Kind.INTEGER),
    (types.Float, Kind.FLOAT),
    (types.Numeric, Kind.DECIMAL),
    (types.DateTime, Kind.MOMENT),
    (types.Date, Kind.DAY),
    (types.Time, Kind.TIME),
    (types.String, Kind.TEXT),
    (postgresql.CITEXT, Kind.TEXT),
]


def kind_of(column_type: types.TypeEngine[Any], *, decorated: bool = False) -> Kind:
    """The kind of the values that a type takes.

    :param decorated: say `Kind.OWN` of a type that the application has put around another.
    """
    whole = isinstance(column_type, _WHOLE)
    if decorated and isinstance(column_type, types.TypeDecorator) and not whole:
        return Kind.OWN
    column_type = undecorated(column_type)
    if isinstance(column_type, postgresql.DOMAIN):
        return kind_of(column_type.data_type)
    return next((kind for found, kind in _KINDS if isinstance(column_type, found)), Kind.OTHER)


#: What SQLAlchemy itself has put around another type.
_WHOLE = (types.Interval, types.PickleType)


def undecorated(column_type: Any) -> Any:
    """A type as PostgreSQL gets it, without what the application has put around it."""
    while isinstance(column_type, types.TypeDecorator) and not isinstance(column_type, _WHOLE):
        column_type = column_type.load_dialect_impl(DIALECT)
    # Of a type with a variant for PostgreSQL, that one counts.
    return column_type._variant_mapping.get("postgresql", column_type)


def members_of(column_type: Any) -> list[tuple[Expression, Any]]:
    """The members of an enumeration, as source and as they are stored; of other types, none."""
    if isinstance(column_type, types.Enum) and not isinstance(column_type, types.TypeDecorator):
        if column_type.enum_class is None:
            return [(literal(value), value) for value in column_type.enums]
        names = column_type._object_lookup
        return [(_member(names[value]), value) for value in column_type.enums if value in names]
    if isinstance(column_type, types.TypeDecorator):
        for value in vars(column_type).values():
            if isinstance(value, enum.EnumMeta):
                members: list[Any] = list(value)
                fitting = [one for one in members if misfit(column_type, one) is None]
                return [(_member(one), stored(column_type, one)) for one in fitting]
        return members_of(column_type.impl_instance)
    return []


def _member(member: Any) -> Expression:
    kind = type(member)
    return name(kind.__module__, f"{kind.__qualname__}.{member.name}")


def stored(column_type: types.TypeEngine[Any], value: Any) -> Any:
    """A value as it goes to the database."""
    process = column_type.dialect_impl(DIALECT).bind_processor(DIALECT)
    return process(value) if process else value


def misfit(column_type: types.TypeEngine[Any], value: Any) -> Exception | None:
    """Why a type does not take a value; ``None`` if it does, and gives the same one back."""
    kind = column_type.dialect_impl(DIALECT)
    try:
        bound = stored(column_type, value)
        Transformer().get_dumper(bound, PyFormat.AUTO)
        process = kind.result_processor(DIALECT, None)
        back = process(bound) if process else bound
    # A type of the application's own may raise what it likes.
    except Exception as error:
        return error
    return None if back == value else ValueError(f"{value!r} comes back as {back!r}")
