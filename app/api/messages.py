"""Reading requests and writing answers, through the schemas of a domain."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from flask import Response, request, url_for
from pydantic import BaseModel, ConfigDict, PlainSerializer, ValidationError
from pydantic_core import to_json
from werkzeug.exceptions import UnsupportedMediaType

from app.api.fields import Payload
from app.api.listing import Listing, Page
from app.api.problems import Fault, Invalid, Place

__all__ = [
    "Instant",
    "View",
    "answer",
    "answer_list",
    "created",
    "read_body",
    "read_query",
]

Body = TypeVar("Body", bound=Payload)
Query = TypeVar("Query", bound=Listing)

# The database may answer in a zone of its own.
Instant = Annotated[datetime, PlainSerializer(lambda moment: moment.astimezone(UTC))]


class View(BaseModel):
    """What an answer shows of a row: these attributes, and nothing else."""

    model_config = ConfigDict(from_attributes=True)


def read_body(schema: type[Body]) -> Body:
    """The JSON body of the request.

    :raises Invalid: With every fault of every field.
    """
    if not request.is_json:
        raise UnsupportedMediaType("The body must be JSON, with Content-Type: application/json.")
    try:
        return schema.model_validate_json(request.get_data())
    except ValidationError as error:
        raise Invalid(_faults(error, "body")) from error


def read_query(schema: type[Query]) -> Query:
    """The query string of the request.

    :raises Invalid: With every fault of every parameter.
    """
    repeated = [name for name, values in request.args.lists() if len(values) > 1]
    faults = [Fault("Given more than once", [name], "query") for name in repeated]
    try:
        wanted = schema.model_validate_strings(request.args.to_dict())
    except ValidationError as error:
        raise Invalid(faults + _faults(error, "query")) from error
    if faults:
        raise Invalid(faults)
    return wanted


def answer(row: object, view: type[View]) -> Response:
    """One row, as its view shows it."""
    return _respond(view.model_validate(row).model_dump_json())


def answer_list(page: Page[Any], view: type[View]) -> Response:
    """A page of rows, each as its view shows it."""
    items = [view.model_validate(row) for row in page.items]
    return _respond(to_json({"items": items, **page.position()}))


def created(row: object, view: type[View], endpoint: str, key: uuid.UUID | int) -> Response:
    """One row that is new, and where it can be found: at ``endpoint`` with ``key``."""
    response = answer(row, view)
    response.status_code = 201
    response.location = url_for(endpoint, key=key)
    return response


def _respond(document: str | bytes) -> Response:
    return Response(document, mimetype="application/json")


def _faults(error: ValidationError, place: Place) -> list[Fault]:
    return [
        Fault(detail["msg"], detail["loc"], place)
        for detail in error.errors(include_url=False, include_input=False)
    ]
