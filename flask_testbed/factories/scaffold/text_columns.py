"""The values of columns of text, by the name of the column."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .patterns import text_like
from .python import FACTORY, call, name
from .values import DECLARATIONS, FEW, Value, WantedValue, faker, sequence

__all__ = ["text_value"]

#: The number of hexadecimal digits that `Token` makes by default.
TOKEN = 12

#: The longest text that a unique column gets if it has no limit.
UNLIMITED = 255


@dataclass(frozen=True)
class Words:
    """A kind of text, and how Faker makes it."""

    pattern: re.Pattern[str]
    """Matches the names of the columns that hold such texts."""

    provider: str
    longest: int
    """No text of Faker's English provider is longer. Shorter columns get other words."""

    example: str
    unique: str = ""
    """A text with a place for a token, which makes it unique."""


def _words(pattern: str, provider: str, longest: int, example: str, unique: str = "") -> Words:
    anchored = rf"(^|_)({pattern})$"
    return Words(re.compile(anchored, re.IGNORECASE), provider, longest, example, unique)


WORDS = [
    _words("e?mail|email_address", "safe_email", 60, "a@example.com", "{}@example.com"),
    _words("first_?name|given_name", "first_name", 30, "Ada"),
    _words("last_?name|family_name|surname", "last_name", 30, "Byron"),
    _words("full_?name|real_?name|display_?name", "name", 60, "Ada Byron"),
    _words("user_?name|login|nick(name)?", "user_name", 50, "ada", "user-{}"),
    _words("phone(_?number)?|telephone|mobile", "phone_number", 30, "555-0100"),
    _words("url|website|homepage|link|uri", "url", 100, "https://example.com/",
           "https://example.com/{}"),
    _words("host_?name|domain(_name)?|fqdn", "domain_name", 60, "example.com", "{}.example.com"),
    _words("ip(_?addr(ess)?)?|ipv4(_address)?", "ipv4", 15, "192.0.2.1"),
    _words("mac(_?addr(ess)?)?", "mac_address", 17, "02:00:00:00:00:01"),
    _words("city|town", "city", 40, "London"),
    _words("street|street_address|address(_?line)?1?", "street_address", 60, "1 Main Street"),
    _words("postcode|postal_code|zip(_?code)?", "postcode", 10, "12345"),
    _words("country", "country", 60, "France"),
    _words("country_code", "country_code", 2, "FR"),
    _words("currency(_code)?", "currency_code", 3, "EUR"),
    _words("company(_name)?|organi[sz]ation", "company", 60, "Acme"),
    _words("job|job_title|profession", "job", 80, "Engineer"),
    _words("slug", "slug", 120, "a-slug", "slug-{}"),
    _words("colou?r", "hex_color", 7, "#aabbcc"),
    _words("file_?name", "file_name", 60, "a.txt", "{}.txt"),
    _words("mime_?type|content_type", "mime_type", 100, "text/plain"),
    _words("title|subject|headline", "catch_phrase", 90, "Open system"),
    _words("name|label", "catch_phrase", 90, "Open system"),
]  # fmt: skip


def text_value(wanted: WantedValue) -> Value | None:
    """Return texts of the kind that the column's name suggests, within its limits."""
    limits, longest = wanted.limits, wanted.limits.longest
    if limits.pattern is not None:
        return _matching(wanted, limits.pattern)
    if wanted.unique:
        return _unique(wanted, UNLIMITED if longest is None else longest)
    if limits.shortest > 5:
        most = max(limits.shortest, min(longest or 60, 60))
        source = faker("pystr", min_chars=limits.shortest, max_chars=most)
        return Value(source, "x" * limits.shortest)
    for words in WORDS:
        if words.pattern.search(wanted.column.key) and (longest or 9999) >= words.longest:
            return Value(faker(words.provider), words.example)
    if longest is not None and longest < 5:
        return Value(faker("pystr", min_chars=1, max_chars=longest), "x" * longest)
    return Value(faker("text", max_nb_chars=min(longest or 60, 60)), "Words.")


def _unique(wanted: WantedValue, longest: int) -> Value:
    if longest < 8:
        return _counted(longest, 16, "x")
    for words in WORDS:
        if words.unique and words.pattern.search(wanted.column.key):
            text = words.unique.format(f"{{{wanted.row_name}.token}}")
            if len(words.unique.format("")) + TOKEN <= longest:
                source = call(f"{FACTORY}.LazyAttribute", f'lambda {wanted.row_name}: f"{text}"')
                return Value(source, words.unique.format("0" * TOKEN), unique=True)
    return _token(max(wanted.limits.shortest, min(longest, TOKEN)))


def _matching(wanted: WantedValue, pattern: str) -> Value | None:
    """Return texts that match a pattern; unique ones, if the pattern allows digits."""
    longest = min(wanted.limits.longest or 60, 60)
    shortest = max(wanted.limits.shortest, 1)
    for length in sorted({min(TOKEN, longest), longest, shortest}):
        if length >= 8 and all(re.search(pattern, digit * length) for digit in "09af"):
            return _token(length)
        if length >= 3 and all(re.search(pattern, digit * length) for digit in "09"):
            return _counted(length, 10, "d")
    text = text_like(pattern)
    return None if text is None else Value(repr(text), text)


def _token(length: int) -> Value:
    arguments = [] if length == TOKEN else [repr(length)]
    return Value(call(name(DECLARATIONS, "Token"), *arguments), "0" * length, unique=True)


def _counted(length: int, base: int, form: str) -> Value:
    """Return the row's number with leading zeros."""
    source = sequence(f'lambda n: f"{{n % {base**length}:0{length}{form}}}"')
    return Value(source, "0" * length, unique=True, scarce=base**length < FEW)
