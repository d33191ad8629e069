"""The commands ``flask factories list``, ``graph`` and ``scaffold``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flask import Flask

from tests.support.factory_toys import factory_app
from tests.support.projects import Project
from tests.support.toys import Toys, run_command

MODELS = "tests.support.scaffold_models"


@pytest.fixture(scope="module")
def toy_app() -> Flask:
    return factory_app()


@pytest.fixture
def bare_app(toys: Toys) -> Flask:
    """An application without factories."""
    return toys.app(None)


# list


def test_factories_list_is_a_table(toy_app: Flask) -> None:
    assert run_command(toy_app, "factories", "list").out.splitlines() == [
        "factory       model  table",
        "OwnerFactory  Owner  toy_owners",
        "    befriended",
        "DogFactory    Dog    toy_dogs",
        "    clever, lazy",
        "PuppyFactory  Dog    toy_dogs",
        "    clever, lazy, spotted",
    ]


def test_the_list_fits_80_columns(app: Flask) -> None:
    output = run_command(app, "factories", "list").out

    assert "EventFactory             Event             events\n    with_chain\n" in output
    assert max(map(len, output.splitlines())) <= 80


def test_the_list_can_be_read_by_a_program(toy_app: Flask) -> None:
    outcome = run_command(toy_app, "factories", "list", "--json")

    assert json.loads(outcome.out)[0] == {
        "factory": "OwnerFactory",
        "model": "Owner",
        "table": "toy_owners",
        "traits": ["befriended"],
    }


@pytest.mark.parametrize("command", ["list", "lint", "graph"])
def test_an_application_without_factories_is_told_so(bare_app: Flask, command: str) -> None:
    outcome = run_command(bare_app, "factories", command)

    outcome.assert_says("has no factories: call `factories.init_app(app, db)`")


# graph


def test_mermaid_is_the_default(toy_app: Flask) -> None:
    outcome = run_command(toy_app, "factories", "graph")

    assert outcome.status == 0, outcome.text
    lines = [line.strip() for line in outcome.out.splitlines()]
    assert lines[0] == "flowchart LR"
    assert 'DogFactory["DogFactory"]' in lines
    assert 'DogFactory -->|"owner"| OwnerFactory' in lines
    assert 'OwnerFactory --o|"with_dogs"| DogFactory' in lines
    assert 'OwnerFactory -.->|"befriended: friend"| OwnerFactory' in lines
    assert "PuppyFactory ==> DogFactory" in lines


def test_a_picture_is_written_and_never_over_another(toy_app: Flask, tmp_path: Path) -> None:
    command = ["factories", "graph", "--format", "svg", "--output", str(tmp_path / "made.svg")]

    assert run_command(toy_app, *command).status == 0
    run_command(toy_app, *command).assert_says("exists already and is not overwritten")


# scaffold


def test_the_command_prints_the_source(bare_app: Flask) -> None:
    outcome = run_command(bare_app, "factories", "scaffold", f"{MODELS}:Tenant")

    assert outcome.status == 0, outcome.text
    assert "class TenantFactory(BaseFactory[Tenant]):" in outcome.out


@pytest.mark.usefixtures("no_ruff")
def test_the_command_says_how_to_format_what_it_prints(bare_app: Flask) -> None:
    outcome = run_command(bare_app, "factories", "scaffold", f"{MODELS}:Tenant")

    assert outcome.out.startswith("# ruff is missing or failed.")
    assert outcome.err.startswith("ruff is missing or failed. To format: ruff check")


def test_the_command_writes_a_new_file_and_never_over_another(
    bare_app: Flask, tmp_path: Path
) -> None:
    file = tmp_path / "factories.py"
    command = ["factories", "scaffold", f"{MODELS}:Tenant", "--output", str(file)]

    first = run_command(bare_app, *command)
    written = file.read_text()
    second = run_command(bare_app, *command)

    assert first.status == 0, first.text
    assert "class TenantFactory(" in written
    second.assert_says("exists already and is not overwritten")
    assert file.read_text() == written


def test_a_missing_folder_is_named(bare_app: Flask, tmp_path: Path) -> None:
    file = tmp_path / "nowhere" / "factories.py"

    outcome = run_command(
        bare_app, "factories", "scaffold", f"{MODELS}:Tenant", "--output", str(file)
    )

    outcome.assert_says("cannot be written: No such file or directory")


def test_a_project_that_has_models_alone_gets_factories_that_lint(project: Project) -> None:
    made = project.run("-m", "flask", "--app", "toyapp", "factories", "scaffold", "models")
    project.write(shop_factories=made.out)
    project.write(
        withfactories="""
            from toyapp import create_app as bare
            from models import db
            from shop_factories import factories

            def create_app():
                app = bare()
                factories.init_app(app, db)
                return app
        """
    )

    linted = project.run(
        "-m", "flask", "--app", "withfactories", "factories", "lint", "--samples", "50"
    )

    assert linted.status == 0, made.text + linted.text
    assert "1 factory, 0 traits, 50 samples each" in linted.out
