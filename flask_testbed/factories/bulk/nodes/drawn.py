"""Declarations that are evaluated for all rows of a chunk at once."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from random import Random

from factory import fuzzy

from ....randomness import now
from ...declarations import After, Ago, Token
from ..chunks.chunk import Chunk
from ..chunks.compiled import ColumnNode
from ..chunks.values import EPOCH, MICROSECOND, Listed, Moments, Uuids, Values, picks

MILLISECOND = timedelta(milliseconds=1)

#: For each byte, the byte with the bits that mark a UUID's version 4, and its variant.
_VERSION = bytes(byte & 0x0F | 0x40 for byte in range(256))
_VARIANT = bytes(byte & 0x3F | 0x80 for byte in range(256))


class RandomUuids(ColumnNode):
    """Random UUIDs of version 4."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fill(self, chunk: Chunk) -> Uuids:
        data = bytearray(chunk.random(self.name).randbytes(16 * len(chunk)))
        data[6::16] = data[6::16].translate(_VERSION)
        data[8::16] = data[8::16].translate(_VARIANT)
        return Uuids(bytes(data))


class RandomTokens(ColumnNode):
    """Random hexadecimal digits."""

    def __init__(self, name: str, token: Token) -> None:
        self.name = name
        self.length = token.length

    def fill(self, chunk: Chunk) -> Values:
        # Use whole words of the generator: the tokens of a short chunk are then the first tokens
        # of a long one.
        digits = math.ceil(self.length / 8) * 8
        data = chunk.random(self.name).randbytes(digits // 2 * len(chunk)).hex()
        return Listed([data[at : at + self.length] for at in range(0, len(data), digits)])


class MomentsAgo(ColumnNode):
    """Random moments before now."""

    def __init__(self, name: str, ago: Ago) -> None:
        self.name = name
        self.ago = ago

    def fill(self, chunk: Chunk) -> Values:
        latest = _microseconds(now())
        spans = _spans(chunk.random(self.name), self.ago.least, self.ago.most, len(chunk))
        return Moments([latest - span for span in spans])


class MomentsAfter(ColumnNode):
    """Random moments after those of another column."""

    def __init__(self, name: str, after: After) -> None:
        self.name = name
        self.after = after

    def fill(self, chunk: Chunk) -> Values:
        starts = chunk.column(self.after.start)
        spans = _spans(chunk.random(self.name), self.after.least, self.after.most, len(chunk))
        if isinstance(starts, Moments):
            moments = zip(starts.microseconds, spans, strict=True)
            return Moments([start + span for start, span in moments])
        return Listed(
            [start + MICROSECOND * span for start, span in zip(starts, spans, strict=True)]
        )


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def _spans(random: Random, least: timedelta, most: timedelta | None, size: int) -> list[int]:
    """Random spans in microseconds, in steps of a millisecond."""
    shortest = least // MICROSECOND
    if most is None:
        return [shortest] * size
    steps = (most - least) // MILLISECOND + 1
    draw = random.random
    return [shortest + int(draw() * steps) * 1000 for _ in range(size)]


class RandomIntegers(ColumnNode):
    """Random integers."""

    def __init__(self, name: str, integer: fuzzy.FuzzyInteger) -> None:
        self.name = name
        self.numbers = range(integer.low, integer.high + 1, integer.step)

    def fill(self, chunk: Chunk) -> Values:
        numbers = self.numbers
        drawn = picks(chunk.random(self.name), len(numbers), len(chunk))
        return Listed([numbers[pick] for pick in drawn])
