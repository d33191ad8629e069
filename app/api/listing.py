"""Lists: filtered, in a stable order, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import raiseload
from sqlalchemy.orm.interfaces import ORMOption

from app.api.fields import Line
from app.extensions import Base, db

__all__ = ["Listing", "Page", "Search", "paginate"]

Row = TypeVar("Row", bound=Base)

Search = Annotated[Line, Field(max_length=200)]


class Listing(BaseModel):
    """The query of a list. A subclass adds the columns by which it can be filtered."""

    model_config = ConfigDict(extra="forbid")

    page: int = Field(1, ge=1, le=1_000_000)
    per_page: int = Field(20, ge=1, le=100)

    def matches(self, model: type[Base]) -> list[sa.ColumnElement[bool]]:
        """The conditions: each field that is given and is a column of ``model`` equals it."""
        given = self.model_dump(exclude=set(Listing.model_fields), exclude_none=True)
        columns = sa.inspect(model).column_attrs
        return [getattr(model, name) == value for name, value in given.items() if name in columns]


@dataclass(frozen=True)
class Page(Generic[Row]):
    """A part of a list, and where in the list it is."""

    items: list[Row]
    page: int
    per_page: int
    total: int

    @property
    def pages(self) -> int:
        """How many pages the list has."""
        return -(-self.total // self.per_page)

    def position(self) -> dict[str, int]:
        """All but the items."""
        return {
            "page": self.page,
            "per_page": self.per_page,
            "total": self.total,
            "pages": self.pages,
        }


def paginate(statement: sa.Select[Any], wanted: Listing, *options: ORMOption) -> Page[Any]:
    """Read the wanted page of ``statement``, in two queries.

    :param statement: Selects one model, in an order that ends with its key.
    :param options: How to load what the answer shows of related rows. Touching any other
        relationship is an error, and not one more query for each row.
    """
    count = statement.with_only_columns(sa.func.count(), maintain_column_froms=True)
    rows = statement.options(*options, raiseload("*"))
    window = rows.limit(wanted.per_page).offset((wanted.page - 1) * wanted.per_page)
    return Page(
        items=list(db.session.scalars(window)),
        page=wanted.page,
        per_page=wanted.per_page,
        total=db.session.scalar(count.order_by(None)) or 0,
    )
