"""The kinds of values that a request may hold, so that nothing reaches the database which it
would refuse to store.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, TypeVar
from uuid import UUID

import sqlalchemy as sa
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from app.extensions import db

__all__ = [
    "Count",
    "JsonObject",
    "Key",
    "LargeCount",
    "Line",
    "Moment",
    "Payload",
    "Prose",
    "Share",
    "fault",
    "not_before",
    "references",
]

KeyType = TypeVar("KeyType", int, UUID)

INT4_MAX = 2**31 - 1
INT8_MAX = 2**63 - 1
PROSE_LENGTH = 50_000
# Room for every plausible date, and none for those that a change of zone carries out of range.
YEARS = range(1900, 2200)


class Payload(BaseModel):
    """What the body of a request must be: these fields, these types, and nothing else."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def fault(kind: str, message: str) -> PydanticCustomError:
    """An error for a validator to raise, whose message is given as it is."""
    return PydanticCustomError(kind, "{message}", {"message": message})


def not_before(end: datetime, start: datetime | None, name: str) -> datetime:
    """``end``, if it is not before ``start``.

    :param name: What ``start`` is called in the request.
    """
    if start is not None and end < start:
        raise fault("before_start", f"Must not be before {name}")
    return end


def references(table: str) -> AfterValidator:
    """Accept only the key of a row that ``table`` has.

    It is named, not imported, so that a key can point into the other domain.
    """

    def check(key: KeyType) -> KeyType:
        column = db.metadata.tables[table].c.id
        if not db.session.scalar(sa.select(sa.exists().where(column == key))):
            raise fault("unknown_reference", f"There is no row with this key in {table}")
        return key

    return AfterValidator(check)


def _without_nul(text: str) -> str:
    # PostgreSQL stores every character but this one.
    if "\0" in text:
        raise fault("nul", "Must not contain the character U+0000")
    return text


def _in_utc(moment: datetime) -> datetime:
    if moment.year not in YEARS:
        raise fault("year", f"The year must be from {YEARS.start} to {YEARS.stop - 1}")
    return moment.astimezone(UTC)


def _storable(document: dict[str, JsonValue]) -> dict[str, JsonValue]:
    for leaf in _leaves(document):
        if isinstance(leaf, str):
            _without_nul(leaf)
        elif isinstance(leaf, float) and not math.isfinite(leaf):
            raise fault("not_finite", "Must not contain a number that is not finite")
    return document


def _leaves(value: JsonValue) -> Iterator[JsonValue]:
    if isinstance(value, dict):
        yield from value
        for member in value.values():
            yield from _leaves(member)
    elif isinstance(value, list):
        for member in value:
            yield from _leaves(member)
    else:
        yield value


Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_without_nul)
]
Prose = Annotated[
    str, StringConstraints(min_length=1, max_length=PROSE_LENGTH), AfterValidator(_without_nul)
]
Key = Annotated[int, Field(ge=1, le=INT8_MAX)]
Count = Annotated[int, Field(ge=0, le=INT4_MAX)]
LargeCount = Annotated[int, Field(ge=0, le=INT8_MAX)]
Share = Annotated[float, Field(ge=0, le=1)]
Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
JsonObject = Annotated[dict[str, JsonValue], AfterValidator(_storable)]
