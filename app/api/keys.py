"""The keys in URLs, checked before a view sees them."""

from __future__ import annotations

from flask import Flask
from werkzeug.routing import BaseConverter

__all__ = ["init_app"]


class KeyConverter(BaseConverter):
    """An integer key, which fits its column: what does not is no key, so the answer is 404."""

    # Eighteen digits always fit into eight bytes, and no sequence ever counts that far. Raising
    # ValidationError for larger ones would make Werkzeug answer 405 where a rule has two methods.
    regex = "[1-9][0-9]{0,17}"

    def to_python(self, value: str) -> int:
        return int(value)


def init_app(app: Flask) -> None:
    """Allow ``<key:...>`` in the URL rules of ``app``."""
    app.url_map.converters["key"] = KeyConverter
