"""What a text is, by the name of its column."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["WORDS", "Words"]


@dataclass(frozen=True)
class Words:
    """How Faker makes a kind of text."""

    pattern: re.Pattern[str]
    """Of the names of columns that hold it."""

    provider: str
    longest: int
    """No text of Faker's English providers is longer. Shorter columns get plain words."""

    example: str
    unique: str = ""
    """Where a token goes, to make it unique."""


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
