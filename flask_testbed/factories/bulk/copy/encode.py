"""Encoders for binary COPY, by the type that the server has for a column.

https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".
"""

from __future__ import annotations

import json
import marshal
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from struct import Struct, pack
from typing import Any

import psycopg
from psycopg.pq import Format
from psycopg.types.json import Json, Jsonb
from sqlalchemy import Dialect
from sqlalchemy.types import TypeEngine

from ...._compat import array_dumper
from ..chunks.values import EPOCH, MICROSECOND, MISSING, Encoder

NULL = b"\xff\xff\xff\xff"

#: Number of different documents of a column that are kept with their encoding.
CACHED = 4096

_NAIVE_EPOCH = EPOCH.replace(tzinfo=None)
_EPOCH_DAY = EPOCH.toordinal()

Encode = Callable[[Any], bytes]


@dataclass(frozen=True)
class ServerType:
    """The type of a column, as the server describes it."""

    oid: int
    receive: str
    """The function that reads its binary format; that of the base type if it is a domain."""

    element: ServerType | None = None
    """The type of the elements of an array."""


def _fixed(form: str) -> Encode:
    """Return the encoder of numbers that have a fixed size."""
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
        raise TypeError(f"{value!r} is not a date")
    return _int4(value.toordinal() - _EPOCH_DAY)


def _boolean(value: Any) -> bytes:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is not a boolean")
    return b"\0\0\0\1\1" if value else b"\0\0\0\1\0"


def _json(value: Any, version: bytes = b"") -> bytes:
    """Encode a document that SQLAlchemy has wrapped for psycopg, or text that is JSON already."""
    if isinstance(value, Json | Jsonb):
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
    "timestamp_recv": _timestamp,
    "timestamptz_recv": _timestamptz,
    "uuid_recv": _uuid,
    **dict.fromkeys(
        ["bpcharrecv", "citextrecv", "enum_recv", "namerecv", "textrecv", "varcharrecv"], _text
    ),
}


def encoder(kind: TypeEngine[Any], server: ServerType, dialect: Dialect) -> Encoder | None:
    """Return the encoder of a column, or None if its type has no binary format here.

    :param kind: the type of the column in the model, which may process values before they are
        sent, or store None as JSON's null.
    """
    encode = _encode(server)
    if encode is None:
        return None
    process = kind.dialect_impl(dialect).bind_processor(dialect)
    plain = server.receive if process is None else ""
    if server.receive in ("json_recv", "jsonb_recv"):
        encode = _cached(_processed(process, encode))
    elif process is not None:
        encode = _processed(process, encode)
    return Encoder(_nullable(encode, kind.should_evaluate_none), plain)


def _encode(server: ServerType) -> Encode | None:
    known = _BY_RECEIVE.get(server.receive)
    if known is not None:
        return known
    if server.element is not None:
        return _array(server.element)
    try:
        dumper = psycopg.adapters.get_dumper_by_oid(server.oid, Format.BINARY)
    except psycopg.ProgrammingError:
        return None
    return partial(_dumped, dumper=dumper(object))


def _dumped(value: Any, dumper: Any) -> bytes:
    data = bytes(dumper.dump(value))
    return pack(">i", len(data)) + data


def _array(element: ServerType) -> Encode | None:
    encode = _encode(element)
    if encode is None:
        return None
    # psycopg prepends the length itself.
    dumper = array_dumper(element.oid, lambda value: encode(value)[4:])

    def array(value: Any) -> bytes:
        if not isinstance(value, list):
            raise TypeError(f"{value!r} is not a list")
        return _dumped(value, dumper)

    return array


def _processed(process: Callable[[Any], Any] | None, encode: Encode) -> Encode:
    """Let the model's type process a value before it is encoded."""
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


def _cached(encode: Encode) -> Encode:
    """Encode equal documents once, as long as there are few of them."""
    known: dict[bytes, bytes] = {}

    def cached(value: Any) -> bytes:
        try:
            # Version 2: later versions write an object that occurs twice as a reference, so that
            # equal documents would have different keys.
            key = marshal.dumps(value, 2)
        except ValueError:
            return encode(value)
        found = known.get(key)
        if found is None:
            if len(known) >= CACHED:
                known.clear()
            found = known[key] = encode(value)
        return found

    return cached
