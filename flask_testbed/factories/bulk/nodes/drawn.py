"""Declarations that are evaluated for all rows of a chunk at once."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from random import Random

from factory import fuzzy

from ....randomness import now
from ...declarations import After, Ago, Token
from ..chunks.chunk import Chunk, Node
from ..chunks.values import (
    EPOCH,
    MICROSECOND,
    Listed,
    Moments,
    Uuids,
    Values,
)

MILLISECOND = timedelta(milliseconds=1)

#: What makes a random byte the one of a UUID that says version 4, and the one that says variant.
_VERSION = bytes(byte & 0x0F | 0x40 for byte in range(256))

_VARIANT = bytes(byte & 0x3F | 0x80 for byte in range(256))


class RandomUuids(Node):
    """Random UUIDs of version 4."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fill(self, chunk: Chunk) -> Uuids:
        data = bytearray(chunk.random(self.name).randbytes(16 * len(chunk)))
        data[6::16] = data[6::16].translate(_VERSION)
        data[8::16] = data[8::16].translate(_VARIANT)
        return Uuids(bytes(data))


class RandomTokens(Node):
    """Random hexadecimal digits."""

    def __init__(self, name: str, token: Token) -> None:
        self.name = name
        self.length = token.length

    def fill(self, chunk: Chunk) -> Values:
        # Whole words of the generator, so that fewer rows get the beginning of what more get.
        digits = math.ceil(self.length / 8) * 8
        data = chunk.random(self.name).randbytes(digits // 2 * len(chunk)).hex()
        return Listed([data[at : at + self.length] for at in range(0, len(data), digits)])


class MomentsAgo(Node):
    """Moments before now."""

    def __init__(self, name: str, ago: Ago) -> None:
        self.name = name
        self.ago = ago

    def fill(self, chunk: Chunk) -> Values:
        latest = _microseconds(now())
        spans = _spans(chunk.random(self.name), self.ago.least, self.ago.most, len(chunk))
        return Moments([latest - span for span in spans])


class MomentsAfter(Node):
    """Moments after those of another column."""

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


class RandomIntegers(Node):
    """Random whole numbers."""

    def __init__(self, name: str, integer: fuzzy.FuzzyInteger) -> None:
        self.name = name
        self.numbers = range(integer.low, integer.high + 1, integer.step)

    def fill(self, chunk: Chunk) -> Values:
        numbers, count = self.numbers, len(self.numbers)
        draw = chunk.random(self.name).random
        return Listed([numbers[int(draw() * count)] for _ in range(len(chunk))])
