"""How COPY in binary expects values, by the type that the server has for a column.

https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".
"""

from __future__ import annotations

import json
import marshal
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from struct import Struct, pack
from typing import Any

import psycopg
from psycopg.pq import Format
from psycopg.types.json import _JsonWrapper
from sqlalchemy import Dialect
from sqlalchemy.types import TypeEngine

from ..chunks.values import EPOCH, MICROSECOND, MISSING, Encoder

NULL = b"\xff\xff\xff\xff"

#: What one column's values may cost in memory for not having to be encoded twice.
REMEMBERED = 4096

_NAIVE_EPOCH = EPOCH.replace(tzinfo=None)
_EPOCH_DAY = EPOCH.toordinal()

_NUMERIC = psycopg.adapters.get_dumper_by_oid(psycopg.adapters.types["numeric"].oid, Format.BINARY)(
    Decimal
)

Encode = Callable[[Any], bytes]


@dataclass(frozen=True)
class ServerType:
    """What the server says of a column's type."""

    oid: int
    receive: str
    """The function that reads it in binary. That of the base type, if it is a domain."""

    element: ServerType | None = None
    """Of an array."""


def _fixed(form: str) -> Encode:
    """Numbers, which are all as long."""
    size = Struct(f">{form}").size
    return partial(Struct(f">i{form}").pack, size)


def _text(value: Any) -> bytes:
    data = value.encode()
    return pack(">i", len(data)) + data  # type: ignore[no-any-return]  # the value is Any


def _bytes(value: Any) -> bytes:
    data = bytes(memoryview(value))
    return pack(">i", len(data)) + data


def _uuid(value: uuid.UUID) -> bytes:
    return b"\0\0\0\x10" + value.bytes


_int8 = _fixed("q")
_int4 = _fixed("i")


def _timestamptz(value: datetime) -> bytes:
    return _int8((value - EPOCH) // MICROSECOND)


def _timestamp(value: datetime) -> bytes:
    return _int8((value - _NAIVE_EPOCH) // MICROSECOND)


def _date(value: date) -> bytes:
    if isinstance(value, datetime):
        raise TypeError("a moment is no date")
    return _int4(value.toordinal() - _EPOCH_DAY)


def _numeric(value: Any) -> bytes:
    if isinstance(value, int):
        value = Decimal(value)
    if not isinstance(value, Decimal):
        raise TypeError(f"{value!r} is no decimal")
    return _dumped(value, _NUMERIC)


def _boolean(value: Any) -> bytes:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is no boolean")
    return b"\0\0\0\1\1" if value else b"\0\0\0\1\0"


def _json(value: Any, version: bytes = b"") -> bytes:
    """JSON that SQLAlchemy has wrapped for psycopg, or text that is JSON already."""
    if isinstance(value, _JsonWrapper):
        value = (value.dumps or json.dumps)(value.obj)
    data = version + (value if isinstance(value, bytes) else value.encode())
    return pack(">i", len(data)) + data


_BY_RECEIVE: dict[str, Encode] = {
    "boolrecv": _boolean,
    "bytearecv": _bytes,
    "date_recv": _date,
    "float4recv": _fixed("f"),
    "float8recv": _fixed("d"),
    "int2recv": _fixed("h"),
    "int4recv": _int4,
    "int8recv": _int8,
    "json_recv": _json,
    "jsonb_recv": partial(_json, version=b"\1"),
    "numeric_recv": _numeric,
    "timestamp_recv": _timestamp,
    "timestamptz_recv": _timestamptz,
    "uuid_recv": _uuid,
    **dict.fromkeys(
        ["bpcharrecv", "citextrecv", "enum_recv", "namerecv", "textrecv", "varcharrecv"], _text
    ),
}


def encoder(kind: TypeEngine[Any], server: ServerType, dialect: Dialect) -> Encoder | None:
    """How values of a column are sent; None if only the server's text format can say them.

    :param kind: the type that the model has for it; it may process values, or store null as JSON.
    """
    encode = _encode(server)
    if encode is None:
        return None
    process = kind.dialect_impl(dialect).bind_processor(dialect)
    plain = server.receive if process is None else ""
    if server.receive in ("json_recv", "jsonb_recv"):
        encode = _remembering(_after(process, encode))
    elif process is not None:
        encode = _after(process, encode)
    return Encoder(_nullable(encode, kind.should_evaluate_none), plain)


def _encode(server: ServerType) -> Encode | None:
    known = _BY_RECEIVE.get(server.receive)
    if known is not None:
        return known
    if server.element is not None:
        element = _encode(server.element)
        return element and partial(_array, element=element, oid=server.element.oid)
    try:
        dumper = psycopg.adapters.get_dumper_by_oid(server.oid, Format.BINARY)
    except psycopg.ProgrammingError:
        return None
    return partial(_dumped, dumper=dumper(object))


def _dumped(value: Any, dumper: Any) -> bytes:
    data = bytes(dumper.dump(value))
    return pack(">i", len(data)) + data


def _array(value: Any, element: Encode, oid: int) -> bytes:
    """An array of one dimension or more, whose lists are of one length in each."""
    sizes, flat = [], value
    if not isinstance(value, list | tuple):
        raise TypeError(f"{value!r} is no list")
    while flat and isinstance(flat[0], list | tuple):
        sizes.append(len(flat))
        if len({len(part) for part in flat}) > 1:
            raise ValueError("an array's rows are all as long")
        flat = [item for part in flat for item in part]
    sizes = [size // before for size, before in zip(sizes, [1, *sizes], strict=False)]
    items = [NULL if item is None else element(item) for item in flat]
    lengths = [*sizes, len(flat) // _product(sizes)] if flat else []
    header = pack(">iiI", len(lengths), None in flat, oid)
    data = header + b"".join(pack(">ii", length, 1) for length in lengths) + b"".join(items)
    return pack(">i", len(data)) + data


def _product(sizes: list[int]) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product


def _after(process: Callable[[Any], Any] | None, encode: Encode) -> Encode:
    """What the model's type does to a value, and then the encoding."""
    if process is None:
        return encode

    def processed(value: Any) -> bytes:
        value = process(value)
        return NULL if value is None else encode(value)

    return processed


def _nullable(encode: Encode, evaluates_none: bool) -> Encode:
    def nullable(value: Any) -> bytes:
        if value is MISSING or (value is None and not evaluates_none):
            return NULL
        return encode(value)

    return nullable


def _remembering(encode: Encode) -> Encode:
    """Encode equal documents once, as long as there are not too many of them."""
    known: dict[bytes, bytes] = {}

    def remembered(value: Any) -> bytes:
        try:
            # Version 2, since later ones write what is shared in another way than what is equal.
            key = marshal.dumps(value, 2)
        except ValueError:
            return encode(value)
        found = known.get(key)
        if found is None:
            if len(known) >= REMEMBERED:
                known.clear()
            found = known[key] = encode(value)
        return found

    return remembered
