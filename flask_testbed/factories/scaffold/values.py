"""A value for a column: as source, and as an example of what it makes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Column, types
from sqlalchemy.dialects import postgresql

from .column_kinds import Kind, kind_of, members_of, misfit, undecorated
from .constraints.checks import SOMETHING
from .constraints.limits import Limits
from .python import Expression, call, literal, name, raw
from .text_columns import WORDS

__all__ = ["Value", "constant", "value_for"]

FACTORY = ("factory", "")
DECLARATIONS = "flask_testbed.factories"
RANDOMNESS = "flask_testbed.randomness"

#: Hexadecimal digits that make two rows differ for sure.
TOKEN = 12

#: So many rows must be able to differ; a column that allows fewer values is looked up.
MANY = 4000


@dataclass(frozen=True)
class Value:
    """What a factory declares for a column."""

    expression: Expression
    example: Any = SOMETHING
    """Such a value as it is in the database, for evaluating constraints."""

    injective: bool = False
    """Whether no two rows get the same one."""

    scarce: bool = False
    """Whether there are so few values that they come again: the row must be looked up first."""


def constant(column: Column[Any], example: Any) -> Value:
    """The same value in each row.

    :param example: as it is in the database.
    """
    for shown, stored in members_of(column.type):
        if stored == example:
            return Value(shown, stored)
    return Value(_written(example), example)


def _written(value: Any) -> Expression:
    if isinstance(value, Decimal):
        return raw(f'Decimal("{value}")', ("decimal", "Decimal"))
    if isinstance(value, datetime):
        return raw(f"datetime({value:%Y, %-m, %-d}, tzinfo=UTC)", *_of_datetime("datetime", "UTC"))
    if isinstance(value, UUID):
        return call(name(DECLARATIONS, "Uuid"))
    if isinstance(value, dict | list) and not value:
        return _lazy(type(value).__name__)
    if isinstance(value, dict | list):
        return _lazy(f"lambda: {literal(value).flat()}")
    return literal(value)


def _of_datetime(*names: str) -> list[tuple[str, str]]:
    return [("datetime", one) for one in names]


def _lazy(function: str, *imports: tuple[str, str]) -> Expression:
    return call(raw("factory.LazyFunction", FACTORY), raw(function, *imports))


def _sequence(function: str, *imports: tuple[str, str]) -> Expression:
    return call(raw("factory.Sequence", FACTORY), raw(function, *imports))


def _faker(provider: str, **options: Any) -> Expression:
    named = {key: literal(value) for key, value in options.items()}
    return call(raw("factory.Faker", FACTORY), literal(provider), **named)


def value_for(column: Column[Any], limits: Limits, *, unique: bool, owner: str) -> Value | None:
    """A value that fits a column's type and limits; ``None`` if none is known.

    :param unique: whether no two rows may have the same one.
    :param owner: what the row is called in its factory's functions.
    """
    members = members_of(column.type)
    allowed = [pair for pair in members if not limits.choices or pair[1] in limits.choices]
    if allowed:
        return _one_of(allowed, unique)
    if limits.choices:
        choices = [(_written(choice), choice) for choice in limits.choices]
        return _one_of(choices, unique)
    kind = kind_of(column.type)
    make = _MAKERS.get(kind)
    if make is None:
        return None
    value = make(_Wanted(column, _fitting(column, limits), unique, owner))
    if value is not None and kind_of(column.type, decorated=True) is not kind:
        return _decorated(column, value)
    return value


def _decorated(column: Column[Any], value: Value) -> Value | None:
    """A type of the application's own: try what it takes."""
    # A zero may pass where nothing else does.
    examples = [value.example, 1] if value.example == 0 else [value.example]
    if SOMETHING not in examples and all(misfit(column.type, one) is None for one in examples):
        return value
    for candidate in _CANDIDATES:
        if misfit(column.type, candidate) is None:
            return Value(_written(candidate))
    return None


_CANDIDATES: list[Any] = [
    UUID(int=1), {}, [], "x", 1, datetime(2026, 1, 1, tzinfo=UTC), "192.0.2.1", "a@example.com",
    "https://example.com", "#aabbcc", "Europe/Paris", "US", "USD", "en", b"x", True,
]  # fmt: skip


@dataclass(frozen=True)
class _Wanted:
    column: Column[Any]
    limits: Limits
    unique: bool
    owner: str

    @property
    def type(self) -> Any:
        """The type, without what the application has put around it."""
        return undecorated(self.column.type)


def _fitting(column: Column[Any], limits: Limits) -> Limits:
    """The limits, with that which the length of the type adds."""
    kind = undecorated(column.type)
    length = getattr(kind, "length", None) if isinstance(kind, types.String) else None
    if length is None or (limits.longest is not None and limits.longest <= length):
        return limits
    return Limits(**{**vars(limits), "longest": length})


def _one_of(choices: list[tuple[Expression, Any]], unique: bool) -> Value:
    if not unique:
        return Value(*choices[0])
    # As many rows as there are choices: the factory looks them up.
    shown = ", ".join(expression.flat() for expression, _ in choices)
    imports = [pair for expression, _ in choices for pair in expression.imports.names]
    cycle = call(raw("factory.Iterator", FACTORY), raw(f"[{shown}]", *imports))
    return Value(cycle, SOMETHING, injective=True, scarce=True)


# By kind


def _text(wanted: _Wanted) -> Value | None:
    limits = wanted.limits
    if limits.pattern is not None:
        return _patterned(wanted, limits.pattern)
    longest = limits.longest
    if wanted.unique:
        return _unique_text(wanted, 255 if longest is None else longest)
    if limits.shortest > 5:
        most = max(limits.shortest, min(longest or 60, 60))
        options = {"min_chars": limits.shortest, "max_chars": most}
        return Value(_faker("pystr", **options), "x" * limits.shortest)
    for words in WORDS:
        if words.pattern.search(wanted.column.key) and (longest or 9999) >= words.longest:
            return Value(_faker(words.provider), words.example)
    if longest is not None and longest < 5:
        return Value(_faker("pystr", min_chars=1, max_chars=longest), "x" * longest)
    return Value(_faker("text", max_nb_chars=min(longest or 60, 60)), "Words.")


def _unique_text(wanted: _Wanted, longest: int) -> Value:
    if longest < 8:
        digits = f"{{n % {16**longest}:0{longest}x}}"
        value = _sequence(f'lambda n: f"{digits}"')
        return Value(value, "0" * longest, injective=True, scarce=16**longest < MANY)
    length = max(wanted.limits.shortest, min(longest, TOKEN))
    for words in WORDS:
        # The token makes it unique, the rest makes it what it is called.
        if words.unique and words.pattern.search(wanted.column.key):
            shown = words.unique.format(f"{{{wanted.owner}.token}}")
            if len(words.unique.format("")) + TOKEN <= longest:
                function = raw(f'lambda {wanted.owner}: f"{shown}"', (DECLARATIONS, "Token"))
                value = call(raw("factory.LazyAttribute", FACTORY), function)
                return Value(value, words.unique.format("0" * TOKEN), injective=True)
    arguments = [] if length == TOKEN else [literal(length)]
    token = call(name(DECLARATIONS, "Token"), *arguments)
    return Value(token, "0" * length, injective=True)


def _patterned(wanted: _Wanted, pattern: str) -> Value | None:
    from .constraints.limits import text_like

    longest = min(wanted.limits.longest or 60, 60)
    shortest = max(wanted.limits.shortest, 1)
    for length in sorted({min(TOKEN, longest), longest, shortest}):
        if length >= 8 and all(re.search(pattern, digit * length) for digit in "09af"):
            arguments = [] if length == TOKEN else [literal(length)]
            token = call(name(DECLARATIONS, "Token"), *arguments)
            return Value(token, "0" * length, injective=True)
        if length >= 3 and all(re.search(pattern, digit * length) for digit in "09"):
            digits = f"{{n % {10**length}:0{length}d}}"
            scarce = 10**length < MANY
            value = _sequence(f'lambda n: f"{digits}"')
            return Value(value, "0" * length, injective=True, scarce=scarce)
    text = text_like(pattern)
    return None if text is None else Value(literal(text), text)


def _bounds(wanted: _Wanted, low: Any, high: Any, step: Any) -> tuple[Any, Any]:
    """From where to where random numbers go, if the limits say no more than one end or neither."""
    limits = wanted.limits
    least, most = limits.low, limits.high
    if least is not None:
        low = least + step if limits.above else least
        high = max(high, low + (high or 0)) if most is None else high
    if most is not None:
        high = most - step if limits.below else most
        low = min(low, high) if least is None else low
    return low, high


def _integer(wanted: _Wanted) -> Value:
    small = isinstance(wanted.type, types.SmallInteger)
    low, high = (int(end) for end in _bounds(wanted, 0, 1000, 1))
    if not wanted.unique:
        function = name("factory.fuzzy", "FuzzyInteger")
        return Value(call(function, literal(low), literal(high)), low)
    bounded = small or wanted.limits.high is not None
    count = (high if wanted.limits.high is not None else 32767) - low + 1
    number = f"n % {count}" if bounded else "n"
    shown = f"{number} + {low}" if low > 0 else f"{number} - {-low}" if low < 0 else number
    value = _sequence(f"lambda n: {shown}")
    return Value(value, low, injective=True, scarce=bounded and count < MANY)


def _decimal(wanted: _Wanted) -> Value:
    kind = wanted.type
    scale = kind.scale if kind.scale is not None else 2
    largest = Decimal(1000) if kind.precision is None else Decimal(10) ** (kind.precision - scale)
    step = Decimal(10) ** -scale
    low, high = _bounds(wanted, Decimal(0), min(Decimal(1000), largest - step), step)
    if wanted.unique:
        value = _sequence("lambda n: Decimal(n)", ("decimal", "Decimal"))
        return Value(value, Decimal(0), injective=True)
    fuzzy = name("factory.fuzzy", "FuzzyDecimal")
    # Twice the same digits: FuzzyDecimal takes floats, and rounds them.
    arguments = [_plain(low), _plain(high)]
    return Value(call(fuzzy, *arguments, precision=literal(scale)), Decimal(str(low)))


def _plain(number: Any) -> Expression:
    return literal(int(number) if number == int(number) else float(number))


def _float(wanted: _Wanted) -> Value:
    low, high = _bounds(wanted, 0, 1, 0.001)
    if wanted.unique:
        return Value(_sequence("lambda n: n / 8"), 0.0, injective=True)
    fuzzy = name("factory.fuzzy", "FuzzyFloat")
    return Value(call(fuzzy, _plain(low), _plain(high)), float(low))


def _moment(wanted: _Wanted) -> Value:
    spans = [raw(f"timedelta(days={days})", ("datetime", "timedelta")) for days in (1, 60)]
    example = datetime(2026, 1, 1, tzinfo=UTC)
    if wanted.type.timezone:
        return Value(call(name(DECLARATIONS, "Ago"), *spans), example, injective=True)
    if wanted.unique:
        seconds = "lambda n: datetime(2000, 1, 1) + timedelta(seconds=n)"
        value = _sequence(seconds, *_of_datetime("datetime", "timedelta"))
        return Value(value, example, injective=True)
    return Value(_lazy("lambda: now().replace(tzinfo=None)", (RANDOMNESS, "now")), example)


def _day(wanted: _Wanted) -> Value:
    if wanted.unique:
        days = "lambda n: date(2000, 1, 1) + timedelta(days=n)"
        value = _sequence(days, *_of_datetime("date", "timedelta"))
        return Value(value, date(2000, 1, 1), injective=True)
    return Value(_lazy("lambda: now().date()", (RANDOMNESS, "now")), date(2026, 1, 1))


def _time(wanted: _Wanted) -> Value:
    if wanted.unique:
        seconds = "lambda n: (datetime.min + timedelta(seconds=n % 86400)).time()"
        return Value(_sequence(seconds, *_of_datetime("datetime", "timedelta")), injective=True)
    return Value(raw("time(12)", ("datetime", "time")), time(12))


def _span(wanted: _Wanted) -> Value:
    hour = raw("timedelta(hours=1)", ("datetime", "timedelta"))
    if wanted.unique:
        value = _sequence("lambda n: timedelta(seconds=n)", ("datetime", "timedelta"))
        return Value(value, timedelta(0), injective=True)
    return Value(hour, timedelta(hours=1))


def _truth(wanted: _Wanted) -> Value:
    if wanted.unique:
        return _one_of([(literal(False), False), (literal(True), True)], unique=True)
    return Value(literal(False), False)


def _uuid(wanted: _Wanted) -> Value:
    if wanted.type.as_uuid:
        return Value(call(name(DECLARATIONS, "Uuid")), injective=True)
    return Value(_lazy("lambda: str(random_uuid())", (RANDOMNESS, "random_uuid")), injective=True)


def _bytes(wanted: _Wanted) -> Value:
    longest = getattr(wanted.type, "length", None)
    size = min(16, longest or 16)
    value = _lazy(f"lambda: generator().randbytes({size})", (RANDOMNESS, "generator"))
    return Value(value, b"0" * size, injective=True)


def _json(wanted: _Wanted) -> Value:
    shapes: dict[str | None, Any] = {"array": [], "string": "", "number": 0, "boolean": False}
    example = shapes.get(wanted.limits.json_type, {})
    if wanted.limits.shortest:
        example = ["x"] * wanted.limits.shortest
    return Value(_written(example), example)


def _array(wanted: _Wanted) -> Value | None:
    if not wanted.limits.shortest:
        return Value(_lazy("list"), [])
    item = Column(wanted.column.key, wanted.type.item_type)
    value = value_for(item, Limits(), unique=False, owner=wanted.owner)
    if value is None or value.example is SOMETHING:
        return None
    items = [value.example] * wanted.limits.shortest
    return Value(_lazy(f"lambda: [{', '.join(_written(one).flat() for one in items)}]"), items)


def _network(provider: str, example: str, **options: Any) -> Callable[[_Wanted], Value]:
    return lambda wanted: Value(_faker(provider, **options), example, injective=True)


def _range(wanted: _Wanted) -> Value:
    """Ranges of which no two overlap."""
    where = ("sqlalchemy.dialects.postgresql", "Range")
    kind = wanted.type
    if isinstance(kind, postgresql.INT4RANGE | postgresql.INT8RANGE | postgresql.NUMRANGE):
        return Value(_sequence("lambda n: Range(n * 10, n * 10 + 5)", where), injective=True)
    if isinstance(kind, postgresql.DATERANGE):
        end, needed = "date(2000, 1, 1) + timedelta(n + i)", ["date", "timedelta"]
    elif isinstance(kind, postgresql.TSTZRANGE):
        end, needed = "datetime.fromtimestamp(n + i, UTC)", ["UTC", "datetime"]
    else:
        end, needed = "datetime(2000, 1, 1) + timedelta(n + i)", ["datetime", "timedelta"]
    function = f"lambda n: Range(*({end} for i in (0, 1)))"
    return Value(_sequence(function, where, *_of_datetime(*needed)), injective=True)


def _map(wanted: _Wanted) -> Value:
    return Value(_lazy("dict"), {})


def _bits(wanted: _Wanted) -> Value:
    bits = "0" * (wanted.type.length or 1)
    return Value(literal(bits), bits)


_MAKERS: dict[Kind, Callable[[_Wanted], Value | None]] = {
    Kind.TEXT: _text,
    Kind.INTEGER: _integer,
    Kind.DECIMAL: _decimal,
    Kind.FLOAT: _float,
    Kind.MOMENT: _moment,
    Kind.DAY: _day,
    Kind.TIME: _time,
    Kind.SPAN: _span,
    Kind.TRUTH: _truth,
    Kind.UUID: _uuid,
    Kind.BYTES: _bytes,
    Kind.JSON: _json,
    Kind.ARRAY: _array,
    Kind.ADDRESS: _network("ipv6", "2001:db8::1"),
    Kind.NETWORK: _network("ipv6", "2001:db8::/32", network=True),
    Kind.HARDWARE: _network("mac_address", "02:00:00:00:00:01"),
    Kind.RANGE: _range,
    Kind.MAP: _map,
    Kind.BITS: _bits,
    Kind.SEARCH: lambda wanted: Value(literal("word"), "word"),
}
