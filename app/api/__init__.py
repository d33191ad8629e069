"""What the JSON interfaces of the domains share: reading, answering, listing, refusing."""

from __future__ import annotations

from flask import Flask

from app.api import keys, problems
from app.api.listing import Listing, Page, paginate
from app.api.messages import answer, answer_list, created, read_body, read_query
from app.api.problems import Conflict, Fault, Invalid, Unknown
from app.api.rows import assign, fetch, save

__all__ = [
    "Conflict",
    "Fault",
    "Invalid",
    "Listing",
    "Page",
    "Unknown",
    "answer",
    "answer_list",
    "assign",
    "created",
    "fetch",
    "init_app",
    "paginate",
    "read_body",
    "read_query",
    "save",
]


def init_app(app: Flask) -> None:
    """Teach ``app`` the keys in its URLs and the answers to what goes wrong."""
    keys.init_app(app)
    problems.init_app(app)
