"""The keys in URLs, checked before a view sees them."""

from __future__ import annotations

from flask import Flask
from werkzeug.routing import BaseConverter, ValidationError

from app.api.fields import INT8_MAX

__all__ = ["init_app"]


class KeyConverter(BaseConverter):
    """An integer key that fits its column: what does not is no key, so the answer is 404."""

    regex = "[1-9][0-9]{0,18}"

    def to_python(self, value: str) -> int:
        key = int(value)
        if key > INT8_MAX:
            raise ValidationError
        return key


def init_app(app: Flask) -> None:
    """Allow ``<key:...>`` in the URL rules of ``app``."""
    app.url_map.converters["key"] = KeyConverter
