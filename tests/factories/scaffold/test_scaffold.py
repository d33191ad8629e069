"""Factories that scaffold writes for models."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest
from flask import Flask

from flask_testbed.errors import FactoryError
from flask_testbed.factories import Factories
from flask_testbed.factories.lint import Fault, lint
from flask_testbed.factories.scaffold import find_models, scaffold
from flask_testbed.randomness import frozen
from tests.support import scaffold_models
from tests.support.equivalence import ROWS, differences
from tests.support.toys import adopted_app

MODELS = "tests.support.scaffold_models"


def load(source: str, folder: Path, name: str) -> ModuleType:
    file = folder / f"{name}.py"
    file.write_text(source)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def models() -> list[type]:
    return find_models([MODELS])


@pytest.fixture(scope="module")
def source(models: list[type]) -> str:
    return scaffold(models)


@pytest.fixture(scope="module")
def made(source: str, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return load(source, tmp_path_factory.mktemp("scaffold"), "scaffolded_factories")


@pytest.fixture(scope="module")
def toy_app(made: ModuleType) -> Flask:
    app = adopted_app("toy_scaffold", scaffold_models.db)
    made.factories.init_app(app, scaffold_models.db)
    return app


def test_every_factory_lints_clean(toy_app: Flask, models: list[type]) -> None:
    report = lint(toy_app, samples=60)

    assert [describe(fault) for fault in report.faults] == []
    assert report.without_factory == ()
    assert report.factories == len(models) - 1  # an animal is a cat or a dog


def describe(fault: Fault) -> str:
    return f"{fault.factory} {fault.trait or ''} {fault.columns} {fault.constraint} {fault.message}"


def test_bulk_rows_are_distributed_like_single_ones(toy_app: Flask, made: ModuleType) -> None:
    with toy_app.app_context(), frozen(datetime(2026, 5, 1, tzinfo=UTC)):
        found = {
            made.factories.name_of(factory): differences(scaffold_models.db, factory, ROWS, {})
            for factory in made.factories
        }

    # The server's now() is one for each transaction, so one for all rows in bulk.
    assert found.pop("PaymentFactory") == ["payments.made_at"]
    assert {name: unlike for name, unlike in found.items() if unlike} == {}
    assert len(found) > 20


def test_all_that_is_optional_is_filled_too(toy_app: Flask, made: ModuleType) -> None:
    with toy_app.app_context():
        person = made.PersonFactory(full=True)
        hen = made.HenFactory(full=True)
        payment = made.PaymentFactory(full=True)
        child = made.CategoryFactory(full=True)

        assert person.biography
        assert hen.egg.hen is not hen
        assert child.parent.parent is None
        # Not more than the constraints allow: one of two ways, and a time only if it is paid.
        assert [payment.card, payment.iban].count(None) == 1


def test_limits_are_kept(toy_app: Flask, made: ModuleType) -> None:
    with toy_app.app_context():
        for measure in made.MeasureFactory.create_batch(20):
            assert measure.positive > 0
            assert -5 <= measure.cold < 0
            assert measure.largest >= measure.smallest
            assert measure.ended_on > measure.started_on
            assert measure.parts + measure.rest == 10


def test_unique_columns_never_repeat(toy_app: Flask, made: ModuleType) -> None:
    with toy_app.app_context():
        people = made.PersonFactory.create_batch(300)

        for column in ("email", "login", "slug", "badge"):
            assert len({getattr(person, column) for person in people}) == 300
        assert len({person.country_code for person in people}) <= 256


def test_two_parents_share_what_they_must(toy_app: Flask, made: ModuleType) -> None:
    with toy_app.app_context():
        visit = made.VisitFactory()

        assert visit.the_site.tenant is visit.the_account.tenant


@pytest.mark.parametrize(
    ("fragment", "why"),
    [
        ('code = factory.Sequence(lambda n: f"{n % 256:02x}")', "a key of two characters"),
        ('sqlalchemy_get_or_create = ("code",)', "which come again"),
        ("percentage = FuzzyInteger(0, 100)", "between two limits"),
        ('ended_on = After("started_on",', "after the start"),
        ("country = factory.SubFactory(CountryFactory)", "a parent by its relation"),
        ('parent_id = factory.SelfAttribute("id")', "a root is its own parent"),
        ('person_id = factory.SelfAttribute("person.id")', "a key without a relation"),
        ("level = Level.LOW", "an enumeration behind a type of the application's"),
        ("listed = factory.LazyFunction(list)", "what a type of the application's takes"),
        ('egg=factory.SubFactory(f"{__name__}.EggFactory")', "a circle, broken"),
        ("class TokenFactory(BaseFactory[ScaffoldModelsToken]):", "a name that is taken"),
        ('        rename = {\n            "create_": "create",\n', "names that a factory has"),
        ("full = factory.Trait(", "a trait for optional values"),
        ("complete = factory.Trait(", "which has another name beside a column `full`"),
    ],
)
def test_the_source_says(source: str, fragment: str, why: str) -> None:
    assert fragment in source, why


@pytest.mark.parametrize("missing", ["twice", "counted", "defaulted", "kind", "friends", "AnimalF"])
def test_columns_that_the_database_fills_are_left_out(source: str, missing: str) -> None:
    assert missing not in source


RULES = "E4,E7,E9,F,UP,B,W,C4,SIM,PT,RET,PIE"


def ruff(source: str, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--stdin-filename=factories.py", "-"],
        input=source,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", [["check", f"--select={RULES},I"], ["format", "--check"]])
def test_the_source_is_formatted_as_the_project_in_the_current_directory_wants_it(
    models: list[type], command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ruff.toml").write_text("line-length = 70")
    monkeypatch.chdir(tmp_path)

    outcome = ruff(scaffold(models), *command)

    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.usefixtures("no_ruff")
def test_without_ruff_the_source_works_and_says_how_to_format_it(
    source: str, models: list[type], tmp_path: Path
) -> None:
    plain = scaffold(models)

    assert plain.startswith("# ruff is missing or failed. To format: ruff check --select I")
    outcome = ruff(plain, "check", "--isolated", f"--select={RULES}")
    assert outcome.returncode == 0, outcome.stdout
    assert load(plain, tmp_path, "scaffolded_plain").PersonFactory.build().country.code
    # Formatting changes nothing else.
    first = plain.index("class CountryFactory")
    assert ast.dump(ast.parse(plain[first:])) == ast.dump(
        ast.parse(source[source.index("class CountryFactory") :])
    )


def test_source_that_ruff_refuses_is_not_formatted(
    models: list[type], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ruff.toml").write_text("no-such-setting = true")
    monkeypatch.chdir(tmp_path)

    assert scaffold(models).startswith("# ruff is missing or failed.")


def test_one_model_brings_the_parents_that_it_needs() -> None:
    source = scaffold(find_models([f"{MODELS}:Person"]))

    assert source.index("class CountryFactory(") < source.index("class PersonFactory(")
    assert source.count("\nclass ") == 3  # with the base class


def test_existing_factories_are_used(
    made: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The factories that are loaded here must not stay in the registry.
    monkeypatch.setattr(made.factories, "_by_path", dict(made.factories._by_path))
    known = Factories()
    known.register(made.CountryFactory)

    source = scaffold(find_models([f"{MODELS}:Person"]), known)

    assert "class CountryFactory(" not in source
    assert "from scaffolded_factories import BaseFactory, CountryFactory\n" in source
    assert load(source, tmp_path, "scaffolded_further").PersonFactory.build().country.code


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (f"{MODELS}:Nobody", "is not a model. The models of"),
        (f"{MODELS}:Colour", "is not a model. The models of"),
        ("no_such_module:User", "cannot be imported: No module named 'no_such_module'"),
        ("json", "defines no model"),
        ("", "cannot be imported"),
    ],
)
def test_a_path_that_names_no_model_is_refused(path: str, message: str) -> None:
    with pytest.raises(FactoryError, match=message):
        find_models([path])
