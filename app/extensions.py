"""The application's extensions: made once here, bound to an application by `create_app`."""

from __future__ import annotations

import enum
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import sqlalchemy as sa
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column, registry

__all__ = ["Base", "Timestamp", "UuidKey", "choice", "db", "migrate", "utc_now"]

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

CHOICE_LENGTH = 20


def utc_now() -> datetime:
    """The present moment, aware of its zone."""
    return datetime.now(UTC)


def choice(options: type[enum.Enum], name: str) -> sa.Enum:
    """A column type whose only values are those of ``options``, in lower case.

    It is text with a CHECK constraint called ``ck_<table>_<name>``, not a PostgreSQL enum type: a
    value can then be added or removed inside a migration's transaction.
    """
    return sa.Enum(
        options,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=CHOICE_LENGTH,
        values_callable=lambda members: [member.value for member in members],
    )


class Base(DeclarativeBase):
    """What every model inherits.

    Models inherit from it and not from ``db.Model``, which a type checker cannot follow. Both
    share one registry and one metadata, so all of Flask-SQLAlchemy works with them.
    """

    # A registry, and not the attributes `metadata` and `type_annotation_map`: Flask-SQLAlchemy
    # copies what the class holds into `db.Model`, and SQLAlchemy refuses the latter there.
    registry = registry(
        metadata=sa.MetaData(naming_convention=NAMING_CONVENTION),
        type_annotation_map={
            str: sa.Text(),
            float: sa.Double(),
            datetime: sa.DateTime(timezone=True),
            # Without none_as_null, a None that is set is stored as the JSON value null.
            dict[str, Any]: JSONB(none_as_null=True),
            list[str]: JSONB(none_as_null=True),
        },
    )

    def __repr__(self) -> str:
        identity = sa.inspect(self).identity
        key = "new" if identity is None else ", ".join(map(str, identity))
        return f"<{type(self).__name__} {key}>"


UuidKey = Annotated[uuid.UUID, mapped_column(primary_key=True, default=uuid.uuid4)]
Timestamp = Annotated[datetime, mapped_column(default=utc_now, server_default=sa.func.now())]

db = SQLAlchemy(model_class=Base)
# The folder is named in full, so that a command works wherever it is started.
migrate = Migrate(
    directory=Path(__file__).parent.parent / "migrations",
    compare_server_default=True,
    render_as_batch=False,
)
