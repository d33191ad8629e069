"""What SQLAlchemy's reflection shows of a test database: not the testbed's own schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import Dialect

#: The schema of the testbed's own tables and functions in each test database.
SCHEMA = "flask_testbed"


def hide_schema(dialect: Dialect) -> None:
    """Leave the testbed's schema out of what the dialect of one engine lists.

    Alembic compares the models with each schema that is listed, if it is asked to include schemas.
    """
    if "get_schema_names" in vars(dialect):
        return
    listed, weakly = type(dialect).get_schema_names, ref(dialect)

    def get_schema_names(connection: Any, **options: Any) -> list[str]:
        itself = weakly()
        assert itself is not None, "a method of the dialect is called"
        return [name for name in listed(itself, connection, **options) if name != SCHEMA]

    dialect.get_schema_names = get_schema_names  # type: ignore[method-assign]
