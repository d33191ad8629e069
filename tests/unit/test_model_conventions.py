"""What holds for every model, read from the models themselves."""

from __future__ import annotations

import enum
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import app
from app.extensions import Base, db
from app.governance import enums as governance_enums
from app.governance import models as governance
from app.workspace import enums as workspace_enums
from app.workspace import models as workspace

TABLES = list(Base.metadata.sorted_tables)
COLUMNS = [column for table in TABLES for column in table.columns]
DOMAINS = {governance: sa.Uuid, workspace: sa.BigInteger}


def named(items: list[Any]) -> dict[str, Any]:
    return {"argvalues": items, "ids": [str(item) for item in items]}


def of_type(kind: type[Any]) -> list[sa.Column[Any]]:
    return [column for column in COLUMNS if isinstance(column.type, kind)]


def test_flask_sqlalchemy_knows_all_tables() -> None:
    assert db.metadatas[None] is Base.metadata
    assert db.Model.registry is Base.registry
    assert len(TABLES) == 14


@pytest.mark.parametrize("mapper", **named(sorted(Base.registry.mappers, key=str)))
def test_a_key_is_generated_and_of_its_domains_kind(mapper: Any) -> None:
    (key,) = mapper.primary_key
    domain = next(m for m in DOMAINS if m.__name__ == mapper.class_.__module__)
    assert isinstance(key.type, DOMAINS[domain])
    assert bool(key.identity) is (domain is workspace)
    assert bool(key.default) is (domain is governance)


@pytest.mark.parametrize("column", **named([c for c in COLUMNS if c.foreign_keys]))
def test_a_foreign_key_is_the_beginning_of_an_index(column: sa.Column[Any]) -> None:
    (key,) = column.foreign_keys
    assert key.ondelete in {"CASCADE", "SET NULL", "RESTRICT"}
    assert isinstance(column.type, type(key.column.type))
    indexes = (*column.table.indexes, *column.table.constraints)
    kinds = (sa.Index, sa.UniqueConstraint)
    assert column.name in {next(iter(i.columns)).name for i in indexes if isinstance(i, kinds)}


@pytest.mark.parametrize("column", **named(of_type(sa.DateTime)))
def test_a_timestamp_has_a_zone(column: sa.Column[Any]) -> None:
    assert column.type.timezone
    if column.default is not None:
        made = column.default.arg(None)
        assert isinstance(made, datetime)
        assert made.utcoffset() is not None


@pytest.mark.parametrize("column", **named(of_type(sa.Enum)))
def test_an_enumeration_is_a_python_enum_and_a_check(column: sa.Column[Any]) -> None:
    assert issubclass(column.type.enum_class, enum.Enum)
    assert not column.type.native_enum
    assert max(len(value) for value in column.type.enums) <= column.type.length
    names = {constraint.name for constraint in column.table.constraints}
    assert f"ck_{column.table.name}_{column.name}" in names


@pytest.mark.parametrize("table", **named(TABLES))
def test_every_constraint_and_index_has_a_name_that_postgresql_keeps(table: sa.Table) -> None:
    names = [str(item.name) for item in (*table.constraints, *table.indexes) if item.name]
    assert len(names) == len(table.constraints) + len(table.indexes)
    assert all(name[:3] in {"ck_", "fk_", "ix_", "pk_", "uq_"} for name in names)
    assert max(map(len, names)) <= 63


@pytest.mark.parametrize(
    ("enums", "models"), [(governance_enums, governance), (workspace_enums, workspace)]
)
def test_the_models_offer_their_enumerations(enums: Any, models: Any) -> None:
    assert set(enums.__all__) <= set(models.__all__)
    assert all(getattr(models, name) is getattr(enums, name) for name in enums.__all__)
    used = {column.type.enum_class for column in of_type(sa.Enum)}
    assert {getattr(enums, name) for name in enums.__all__} <= used


@pytest.mark.parametrize(
    ("domain", "other"), [("governance", "workspace"), ("workspace", "governance")]
)
def test_the_domains_do_not_import_each_other(domain: str, other: str) -> None:
    folder = Path(app.__file__).parent / domain
    sources = [path.read_text() for path in folder.glob("*.py")]
    assert len(sources) > 4
    assert not any(f"app.{other}" in source for source in sources)


def test_a_row_says_what_it_is() -> None:
    assert repr(workspace.Project()) == "<Project new>"
