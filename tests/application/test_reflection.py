"""The testbed's own schema is hidden from the inspection of SQLAlchemy."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from tests.support.sandboxes import NAMES, sandbox
from tests.support.servers import Stock
from tests.support.toys import Toys

WITHOUT_A_KEY = """
    SELECT t.table_schema || '.' || t.table_name FROM information_schema.tables t
    LEFT JOIN information_schema.table_constraints k
        ON k.constraint_type = 'PRIMARY KEY'
        AND (k.table_schema, k.table_name) = (t.table_schema, t.table_name)
    WHERE t.table_type = 'BASE TABLE' AND k.table_name IS NULL
    AND t.table_schema NOT IN ('pg_catalog', 'information_schema')
"""


@pytest.mark.parametrize("role", ["boss", "maker"])
def test_the_schema_of_the_testbed_is_not_listed(stock: Stock, toys: Toys, role: str) -> None:
    url = stock.url(next(NAMES), role)
    app = toys.app(url)
    db = app.extensions["sqlalchemy"]
    with sandbox(app), app.app_context():
        unmanaged = sa.create_engine(app.config["SQLALCHEMY_DATABASE_URI"])
        for engine in (db.engine, unmanaged):
            listed = sa.inspect(engine).get_schema_names()
            assert listed == ["information_schema", "public"]
        unmanaged.dispose()
        with db.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"include_schemas": True})
            assert compare_metadata(context, db.metadata) == []
            assert connection.scalars(sa.text(WITHOUT_A_KEY)).all() == []
