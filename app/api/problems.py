"""Refusals, and their form: ``application/problem+json`` of RFC 9457.

A problem has ``type``, ``title``, ``status``, ``detail`` and ``errors``, a list of the faults that
have a place: ``in`` (body or query), ``pointer`` (a JSON pointer) and ``message``.

https://www.rfc-editor.org/rfc/rfc9457
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import psycopg
import sqlalchemy as sa
from flask import Flask, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from app.extensions import db

__all__ = ["Conflict", "Fault", "Invalid", "Problem", "Unknown", "init_app"]

MEDIA_TYPE = "application/problem+json"
API_PREFIX = "/api/"

KEYS = (sa.ForeignKeyConstraint, sa.Index, sa.PrimaryKeyConstraint, sa.UniqueConstraint)

Place = Literal["body", "query"]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a request, and where."""

    message: str
    path: Sequence[str | int] = ()
    place: Place = "body"

    def as_json(self) -> dict[str, str]:
        """The fault as a member of ``errors``."""
        return {"in": self.place, "pointer": pointer(self.path), "message": self.message}


class Problem(HTTPException):
    """A refusal: its class says with which status, ``description`` and ``faults`` say why."""

    def __init__(self, description: str, faults: Iterable[Fault] = ()) -> None:
        super().__init__(description)
        self.faults = tuple(faults)


class Invalid(Problem):
    """The request itself is wrong; all its faults are named at once."""

    code = 400

    def __init__(self, faults: Iterable[Fault]) -> None:
        super().__init__("The request is not valid: see errors.", faults)


class Unknown(Problem):
    """There is no such thing."""

    code = 404


class Conflict(Problem):
    """The request is right, but what it meets does not allow it."""

    code = 409


def init_app(app: Flask) -> None:
    """Answer what goes wrong below ``/api/`` with a problem; elsewhere nothing changes."""
    app.register_error_handler(HTTPException, _from_http)
    app.register_error_handler(sa.exc.IntegrityError, _from_database)


def pointer(path: Sequence[str | int]) -> str:
    """``path`` as a JSON pointer, in the form of a URI fragment (RFC 6901, section 6)."""
    escaped = (str(part).replace("~", "~0").replace("/", "~1") for part in path)
    return "#" + "".join(f"/{part}" for part in escaped)


def _from_http(error: HTTPException) -> ResponseReturnValue:
    if not request.path.startswith(API_PREFIX):
        return error
    # The exception knows the headers that belong to it, such as Allow.
    headers = Headers(error.get_headers())
    headers["Content-Type"] = MEDIA_TYPE
    return Response(json.dumps(_document(error)), error.code, headers)


def _document(error: HTTPException) -> dict[str, object]:
    status = error.code or 500
    faults = error.faults if isinstance(error, Problem) else ()
    return {
        "type": "about:blank",
        "title": HTTP_STATUS_CODES.get(status, "Unknown Error"),
        "status": status,
        "detail": error.description,
        "errors": [fault.as_json() for fault in faults],
    }


def _from_database(error: sa.exc.IntegrityError) -> ResponseReturnValue:
    """A conflict, if another row is the cause; else the fault is the application's own."""
    db.session.rollback()
    faults = _conflicts(error.orig)
    if not faults or not request.path.startswith(API_PREFIX):
        raise error
    return _from_http(Conflict("The request conflicts with what is stored: see errors.", faults))


def _conflicts(cause: BaseException | None) -> list[Fault]:
    match cause:
        case psycopg.errors.UniqueViolation():
            message = "This value is already taken."
        case psycopg.errors.ForeignKeyViolation():
            message = "What this refers to is gone."
        case _:
            return []
    return [Fault(message, [column]) for column in _columns(cause.diag.constraint_name)]


def _columns(constraint: str | None) -> list[str]:
    """The columns of a constraint or a unique index, by its name."""
    everything = (
        candidate
        for table in db.metadata.tables.values()
        for candidate in (*table.constraints, *table.indexes)
    )
    return [
        column.name
        for candidate in everything
        if isinstance(candidate, KEYS) and candidate.name == constraint
        for column in candidate.columns
    ]
