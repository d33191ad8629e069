"""The documentation is true: its code runs, its links lead somewhere, it names all there is.

In a block of Python, a first line such as ``# shop.py`` gives the name of a file; a page with such
blocks is a project of its own. All other blocks run beside this repository's ``app`` fixture.
"""

from __future__ import annotations

import ast
import fcntl
import importlib
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest
from flask import Flask
from flask.cli import ScriptInfo

import flask_testbed
import manage
from tests.support.paths import ROOT
from tests.support.processes import Python

ENGINE = ROOT / "flask_testbed"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GUIDE = ROOT / "docs/testing/integration-testing-guide.md"
REFERENCE = ROOT / "docs/reference.md"

#: Commands that change what is not this test's, or never end, or take the whole suite.
NOT_RUN = {
    ". .venv/bin/activate",
    "flask test-db serve",
    "make demo",
    "make test",
    'pip install "flask-testbed[embedded,pytest]"',
}

#: What decides where a database is. Nothing of the developer's may be touched.
DECIDING = {"APP_ENV", "DATABASE_URL", "ENVIRONMENT", "FLASK_APP", "FLASK_ENV", "TEST_DATABASE_URL"}

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
TIMING = re.compile(r"\b\d[\d.,]*\s*(?:ms|s|seconds?|minutes?|rows/s)\b")


@dataclass(frozen=True)
class Command:
    """A command that a page tells its reader to run, with the output that it shows."""

    text: str
    output: list[str] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        """Its words, without the variables that are set for it."""
        words = shlex.split(self.text)
        while words and re.match(r"[A-Z_]+=", words[0]):
            del words[0]
        return words


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in BLOCK.findall(page.read_text()) if found == language]


def prose(page: Path) -> str:
    return BLOCK.sub("", page.read_text())


def spans(page: Path) -> list[str]:
    """What stands in `` `code` `` outside of blocks."""
    return SPAN.findall(prose(page))


def commands(page: Path) -> list[Command]:
    found: list[Command] = []
    for line in "".join(blocks(page, "console")).splitlines():
        if line.startswith("$ "):
            found.append(Command(line.removeprefix("$ ")))
        else:
            found[-1].output.append(line)
    return found


def section(page: Path, heading: str) -> str:
    """The text below a heading, up to the next one of its level or above."""
    level, _, _ = heading.partition(" ")
    _, found, rest = page.read_text().partition(f"\n{heading}\n")
    assert found, f"{name(page)} has no section {heading!r}"
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of all tables, without their headings."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if "`" in row[0] or row[0].startswith("…")]


def options(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


# What runs


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """An environment with a home of its own for embedded servers, deleted when they have ended."""
    # Not tmp_path: as root, the server runs as somebody who cannot reach it.
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 1 << 30
    home = Path(tempfile.mkdtemp(prefix="docs-", dir=memory if roomy else None))
    home.chmod(0o711)
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in DECIDING and not key.startswith(("PYTEST_", "COV_"))
    }
    bin_folder = str(Path(sys.executable).parent)
    path = os.pathsep.join([bin_folder, os.environ.get("PATH", "")])
    yield {**kept, "PATH": path, "FLASK_TESTBED_HOME": str(home), "FLASK_SKIP_DOTENV": "1"}
    for users in home.glob("*/keeper"):
        with users.open("a") as keeper:
            fcntl.flock(keeper, fcntl.LOCK_EX)
    shutil.rmtree(home)


#: What tests/conftest.py has.
APPLICATION = """
import pytest
from manage import create_app

@pytest.fixture(scope="session")
def app():
    return create_app({"TESTING": True})
"""


def write_blocks(page: Path, folder: Path) -> list[Path]:
    """Write a page's Python as files; return the folders, the last of which has all the names.

    A name that comes again begins another folder, with all files that were there before.
    """
    folders = [folder]
    folder.mkdir()
    for number, text in enumerate(blocks(page, "python"), 1):
        named = re.match(r"# (\w+\.py)\n", text)
        file = folders[-1] / (named[1] if named else f"test_block_{number}.py")
        if file.exists():
            folders.append(folder.with_name(f"{folder.name}_{len(folders) + 1}"))
            shutil.copytree(file.parent, folders[-1])
            file = folders[-1] / file.name
        file.write_text(text)
    if not (folders[0] / "conftest.py").exists():
        (folders[0] / "conftest.py").write_text(APPLICATION)
    return folders


def pytest_commands() -> list[list[str]]:
    """The arguments of each call of pytest that a page names."""
    texts = [command.text for page in PAGES for command in commands(page)]
    texts += [span for page in PAGES for span in spans(page)]
    found = [Command(text).words for text in texts if re.match(r"([A-Z_]+=\S+ )*pytest\b", text)]
    found += [
        Command(text).words[2:] for text in texts if text.startswith("python manage.py test ")
    ]
    return [words[1:] for words in found]


PYTEST_COMMANDS = """
import pytest
from pathlib import Path

@pytest.mark.parametrize("arguments", {arguments!r})
def test_pytest_takes(pytestconfig, arguments):
    known, unknown = pytestconfig._parser.parse_known_and_unknown_args(arguments)
    assert not unknown
    assert all((Path({root!r}) / path.split("::")[0]).exists() for path in known.file_or_dir)
"""


def test_every_block_of_python_runs(
    environment: dict[str, str], tmp_path: Path, python: Python
) -> None:
    folders = [
        folder
        for number, page in enumerate(PAGES)
        for folder in write_blocks(page, tmp_path / f"{page.stem.lower()}_{number}")
    ]
    (tmp_path / "test_commands.py").write_text(
        PYTEST_COMMANDS.format(arguments=pytest_commands(), root=str(ROOT))
    )
    projects = [
        str(folder)
        for folder in folders
        if (folder / "shop.py").exists() or (folder / "catalogue.py").exists()
    ]

    options = ["-q", "-o", f"cache_dir={tmp_path / 'cache'}", "-c", str(ROOT / "pyproject.toml")]
    run = python.run(
        ("-m", "pytest", *options, "--rootdir", str(ROOT), str(tmp_path)),
        ROOT,
        {**environment, "PYTHONPATH": os.pathsep.join(reversed(projects))},
    )

    assert run.status == 0, run.text
    passed = re.search(r"(\d+) passed", run.out)
    written = [test for file in tmp_path.rglob("test_*.py") for test in names_of_tests(file)]
    assert passed, run.text
    assert int(passed[1]) >= len(written) > 0, run.text


def names_of_tests(file: Path) -> list[str]:
    return re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)


def test_every_command_runs_and_prints_what_is_shown(
    environment: dict[str, str], tmp_path: Path, python: Python
) -> None:
    run: list[tuple[Command, Path]] = []
    for page in PAGES:
        found = [c for c in commands(page) if c.words[0] == "flask" and c.text not in NOT_RUN]
        here = not any("--app" in command.words for command in found)
        folder = ROOT if here else write_blocks(page, tmp_path / page.stem)[-1]
        run += [(command, folder) for command in found]
    assert run

    with closing(Python("manage")) as here:
        for command, folder in run:
            python_there = here if folder == ROOT else python
            variables = {**environment, "FLASK_APP": "manage.py"}
            told = python_there.run(("-m", *command.words), folder, variables)
            assert told.status == 0, f"{command.text}\n{told.text}"
            for line in command.output:
                found = re.search(loosely(line), told.text, re.MULTILINE)
                assert found, f"{command.text}\n{told.text}"


def loosely(line: str) -> str:
    """A pattern for a line of output: other numbers, other spaces, anything for an ellipsis."""
    words = [re.escape(word) for word in line.split()]
    pattern = r"\s+".join(words).replace("…", ".*")
    return f"^{re.sub(r'[0-9][0-9,.]*', '[0-9][0-9,.]*', pattern)}\\s*$"


def test_every_command_that_is_not_run_is_known() -> None:
    known = {command.text for page in PAGES for command in commands(page)}
    assert known >= NOT_RUN
    checked = [
        text
        for text in known - NOT_RUN
        if Command(text).words[0] not in ("flask", "pytest")
        and Command(text).words[:3] != ["python", "manage.py", "test"]
    ]
    assert not checked


def test_every_target_of_make_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    texts = [command.text for page in PAGES for command in commands(page)]
    texts += [span for page in PAGES for span in spans(page)]
    targets = [text.split()[1] for text in texts if text.startswith("make ")]
    assert targets
    assert [target for target in targets if f"\n{target}:" not in makefile] == []


# Links and figures


def anchors(page: Path) -> set[str]:
    """The anchors of its headings, as the usual renderers make them."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in HEADING.findall(prose(page))
    }


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs/README.md"
    linked = {(index.parent / link).resolve() for link in LINK.findall(index.read_text())}
    assert linked == set(PAGES) - {index, ROOT / "README.md"}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_page_claims_a_time(page: Path) -> None:
    assert TIMING.findall(prose(page)) == []


# Completeness


@pytest.fixture
def context(app: Flask) -> click.Context:
    """That of ``flask``, or of ``manage.py``."""
    return click.Context(manage.cli, info_name="flask", obj=ScriptInfo(create_app=lambda: app))


def walk(context: click.Context, words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that words lead to, and what is left of them."""
    command = context.command
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        if found is None:
            break
        command, words = found, words[1:]
    return command, words


def opts(command: click.Command) -> dict[str, str]:
    """The options of a command, each with its help, but for ``--help``."""
    return {
        name: parameter.help or ""
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in parameter.opts
        if name != "--help"
    }


def leaves(context: click.Context, group_name: str) -> dict[str, click.Command]:
    command, _ = walk(context, group_name.split())
    if not isinstance(command, click.Group):
        return {group_name: command}
    found = {}
    for part in command.list_commands(context):
        found |= leaves(context, f"{group_name} {part}")
    return found


@pytest.mark.parametrize("group", ["test-db", "seed", "factories", "test"])
def test_the_reference_has_every_command_with_its_options(
    context: click.Context, group: str
) -> None:
    text = section(REFERENCE, f"### {group}")
    described = {SPAN.findall(row[0])[0]: row for row in rows(text) if len(row) == 3}
    expected = leaves(context, group)

    assert described.keys() == expected.keys()
    for leaf, command in expected.items():
        first_paragraph = " ".join((command.help or "").split("\n\n")[0].split())
        assert first_paragraph in described[leaf][1]
        # The scenarios' options are the same ones, and stand in a table of their own.
        shared = group == "seed" and bool(opts(command))
        where = "\n".join(" | ".join(row) for row in rows(text) if len(row) == 2)
        where = where if shared else " | ".join(described[leaf])
        if group != "test":
            assert options(where) == {name for name in opts(command) if name.startswith("--")}
        for option, help_text in opts(command).items():
            assert f"`{option}`" in where
            assert help_text in where


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_and_option_that_is_named_exists(page: Path, context: click.Context) -> None:
    known = set(plugin_options()) | {"--help"}
    for group in ("test-db", "seed", "factories", "test"):
        for command in leaves(context, group).values():
            known |= opts(command).keys()
    texts = [command.text for command in commands(page)] + spans(page)

    for text in texts:
        words = text.split()
        if text.startswith("--"):
            assert options(text) <= known, text
        if text.startswith("python manage.py "):
            words = words[1:]
        if words[0] in ("flask", "manage.py", "test-db", "seed", "factories") and len(words) > 1:
            words = words[1:] if words[0] in ("flask", "manage.py") else words
            words = words[2:] if words[0] == "--app" else words
            command, rest = walk(context, words)
            assert not isinstance(command, click.Group) or not rest, text
            if command.name != "test":
                own, _, _ = " ".join(rest).partition("-- ")
                assert options(own) <= opts(command).keys() | {"--help"}, text


def tree(file: str) -> ast.Module:
    return ast.parse((ENGINE / file).read_text())


def plugin_options() -> list[str]:
    return [
        call.args[0].value
        for call in ast.walk(tree("pytest_plugin/options.py"))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "addoption"
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    ]


def plugin_fixtures() -> list[str]:
    """In whichever file of the engine: a fixture is a function with that decorator."""
    decorated = re.compile(r"pytest\.fixture(\(.*\))?")
    return [
        function.name
        for file in ENGINE.rglob("*.py")
        for function in tree(str(file.relative_to(ENGINE))).body
        if isinstance(function, ast.FunctionDef)
        and any(decorated.fullmatch(ast.unparse(found)) for found in function.decorator_list)
    ]


@pytest.mark.parametrize(
    ("page", "heading"),
    [
        (GUIDE, "## Fixtures"),
        (REFERENCE, "## Fixtures"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.stem,
)
def test_every_fixture_of_the_plugin_is_named(page: Path, heading: str) -> None:
    assert plugin_fixtures()
    named = {span for row in rows(section(page, heading)) for span in SPAN.findall(row[0])}
    assert named >= set(plugin_fixtures())


@pytest.mark.parametrize(
    ("page", "heading"), [(GUIDE, "## Options"), (REFERENCE, "## pytest's options")]
)
def test_every_option_of_the_plugin_is_named(page: Path, heading: str) -> None:
    assert plugin_options()
    named = {SPAN.findall(row[0])[0] for row in rows(section(page, heading))}
    assert named == set(plugin_options())


def test_the_internals_name_every_package() -> None:
    packages = {
        str(file.parent.relative_to(ENGINE)) + "/"
        for file in ENGINE.rglob("*/__init__.py")
        if len(file.relative_to(ENGINE).parts) == 2 or "isolation" in str(file)
    }
    table = rows(section(ROOT / "docs/internals.md", "## The packages"))
    named = {span for row in table for span in SPAN.findall(row[0]) if span.endswith("/")}
    assert packages <= named
    for row in table:
        package, begin = SPAN.findall(row[0])[0], SPAN.findall(row[2])
        assert (ENGINE / package / begin[0]).exists() if begin else (ENGINE / package).exists()


def names_in(text: str) -> set[str]:
    """The names in the first column of a table, without their parameters."""
    cells = [span for row in rows(text) for span in SPAN.findall(row[0])]
    return {cell.partition("(")[0] for cell in cells}


def test_every_public_name_is_in_the_reference() -> None:
    named = names_in(section(REFERENCE, "### flask_testbed"))
    named |= names_in(section(REFERENCE, "## Errors"))
    assert named == set(flask_testbed.__all__)


@pytest.mark.parametrize(
    "module", ["factories", "factories.lint", "factories.scaffold", "seeds", "randomness"]
)
def test_every_public_name_of_a_module_is_in_the_reference(module: str) -> None:
    public = importlib.import_module(f"flask_testbed.{module}").__all__
    assert names_in(section(REFERENCE, f"### flask_testbed.{module}")) == set(public)


def sentences() -> list[str]:
    """Every text in the engine, with an ellipsis for what is filled in."""
    found = []
    for file in ENGINE.rglob("*.py"):
        for node in ast.walk(tree(str(file.relative_to(ENGINE)))):
            if isinstance(node, ast.JoinedStr):
                parts = node.values
                texts = [part.value if isinstance(part, ast.Constant) else "…" for part in parts]
                found.append("".join(map(str, texts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_every_message_in_troubleshooting_is_one_of_the_engine() -> None:
    said = sentences()
    table = [row for row in rows(section(GUIDE, "## Troubleshooting")) if len(row) == 3]
    assert table
    for message, _, _ in table:
        for fragment in SPAN.findall(message):
            # Which setting it was is filled in.
            wanted = fragment.removeprefix("TEST_DATABASE_URL")
            assert any(wanted in sentence for sentence in said), fragment
