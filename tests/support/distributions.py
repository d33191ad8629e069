"""Whether two samples come from one distribution, as far as can be told."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Hashable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

#: A category that is expected less often than this is put together with others.
RARE = 5


def likeness(one: Sequence[Any], other: Sequence[Any]) -> float:
    """The probability that two samples of one column differ at least as much as these do.

    Missing values are compared as a category; of the rest, numbers and moments by the test of
    Kolmogorov and Smirnov, texts by their lengths, and all else, and whatever takes few values, by
    a test of homogeneity (chi-squared).
    """
    gone = homogeneity([a is None for a in one], [b is None for b in other])
    left, right = ([a for a in sample if a is not None] for sample in (one, other))
    if not left or not right:
        return gone
    if len({*map(repr, left), *map(repr, right)}) <= 12:
        return min(gone, homogeneity(list(map(repr, left)), list(map(repr, right))))
    left, right = list(map(number, left)), list(map(number, right))
    if len({*left, *right}) <= 12:
        return min(gone, homogeneity(left, right))
    return min(gone, kolmogorov_smirnov(left, right))


def number(value: Any) -> float:
    """A value as a number: a text's is its length."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, date):
        return float(value.toordinal())
    if isinstance(value, int | float | Decimal):
        return float(value)
    return float(len(value if isinstance(value, str | bytes) else repr(value)))


def kolmogorov_smirnov(one: Sequence[float], other: Sequence[float]) -> float:
    """The p-value of the test for two samples, by its asymptotic distribution."""
    one, other = sorted(one), sorted(other)
    distance = max(
        abs(bisect_right(one, at) / len(one) - bisect_right(other, at) / len(other))
        for at in {*one, *other}
    )
    root = math.sqrt(len(one) * len(other) / (len(one) + len(other)))
    scaled = (root + 0.12 + 0.11 / root) * distance
    if scaled < 0.2:
        return 1.0
    terms = (2 * (-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101))
    return min(1.0, max(0.0, sum(terms)))


def homogeneity(one: Sequence[Hashable], other: Sequence[Hashable]) -> float:
    """The p-value of the chi-squared test that both have the same shares of each category."""
    left, right = Counter(one), Counter(other)
    total = len(one) + len(other)
    least = min(len(one), len(other)) / total if total else 0
    merged: Counter[Hashable] = left + right
    rare = {category for category, count in merged.items() if count * least < RARE}
    pairs = [(left[category], right[category]) for category in merged if category not in rare]
    if rare:
        pairs.append((sum(left[c] for c in rare), sum(right[c] for c in rare)))
    statistic = sum(
        (count - size * sum(pair) / total) ** 2 / (size * sum(pair) / total)
        for pair in pairs
        for count, size in zip(pair, (len(one), len(other)), strict=True)
    )
    return chi_squared_tail(statistic, len(pairs) - 1)


def chi_squared_tail(statistic: float, freedom: int) -> float:
    """The probability of a greater value, by Wilson and Hilferty's approximation."""
    if freedom < 1:
        return 1.0
    spread = 2 / (9 * freedom)
    deviation = ((statistic / freedom) ** (1 / 3) - (1 - spread)) / math.sqrt(spread)
    return math.erfc(deviation / math.sqrt(2)) / 2
