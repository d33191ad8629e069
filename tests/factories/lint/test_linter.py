"""The report on all factories."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from flask import Flask

from flask_testbed.errors import FactoryError
from flask_testbed.factories.lint import LintReport, lint
from tests.support import lint_toys
from tests.support.lint_toys import (
    CLEAN,
    ONLY_IN_SAMPLES,
    Parent,
    Thing,
    db,
    factories,
)


@pytest.fixture(scope="module")
def report(toy_app: Flask) -> LintReport:
    """The report on all factories. What it left behind would be there for all tests."""
    return lint(toy_app, samples=10)


def test_all_faults_are_in_one_report(report: LintReport) -> None:
    wrong = {factories.name_of(factory) for factory in factories} - {*ONLY_IN_SAMPLES, *CLEAN}

    assert {fault.factory for fault in report.faults} == wrong
    assert report.factories == len(list(factories))
    assert not report.clean


def test_a_model_without_a_factory_is_reported(report: LintReport) -> None:
    assert report.without_factory == (f"Orphan ({lint_toys.__name__})",)


@pytest.mark.usefixtures("report", "toy")
def test_nothing_stays_behind() -> None:
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Thing)) == 0
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Parent)) == 0


def test_a_missing_factory_can_be_allowed(toy_app: Flask) -> None:
    assert lint(toy_app, samples=0, partial=True).without_factory == ()
    assert lint(toy_app, ["ThingFactory"], samples=0).clean


def test_columns_that_no_factory_fills_are_listed_with_the_reason(toy_app: Flask) -> None:
    listed = lint(toy_app, ["ThingFactory"], samples=0).unfilled

    assert {(one.column, one.because) for one in listed} == {
        ("price", "nullable"),
        ("small", "nullable"),
        ("size", "nullable"),
        ("shelf", "nullable"),
        ("place", "nullable"),
        ("mail", "nullable"),
        ("key", "nullable"),
        ("late_id", "nullable"),
        ("state", "default"),
        ("made", "server default"),
    }


def test_an_application_without_factories_is_told_so() -> None:
    with pytest.raises(FactoryError, match="has no factories: call"):
        lint(Flask("bare"))
