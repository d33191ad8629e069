"""Find the files on which a template depends, and hash them."""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

_IMPORTED = re.compile(rb"^[ \t]*(?:from|import)[ \t]+(\w+)", re.MULTILINE)
_INSTALLED = {"site-packages", "dist-packages"}


def files_below(folders: Iterable[Path]) -> list[Path]:
    """Return all files in folders, except those that Python has compiled.

    :param folders: paths of folders, or of single files.
    """
    found = {path for folder in folders for path in (folder, *folder.rglob("*"))}
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def hash_files(paths: Iterable[Path], base: Path) -> str:
    """Return a hash of the names, relative to a folder, and contents of files."""
    digest = hashlib.sha256()
    for path in paths:
        name = path.relative_to(base) if path.is_relative_to(base) else path
        digest.update(f"{name}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def imported_by(paths: Iterable[Path]) -> list[Path]:
    """Return the project's modules that Python files import directly.

    Installed packages do not count. Nothing is imported.
    """
    found: set[Path] = set()
    for path in paths:
        if path.suffix == ".py":
            source = path.read_bytes()
            tops = {name.decode() for name in _IMPORTED.findall(source)}
            # Parsing takes much longer, and most files import nothing of the project.
            if any(_root(top) for top in tops - sys.stdlib_module_names):
                found |= {file for name in _names(source) for file in _files_of(name)}
    return sorted(found)


def _names(source: bytes) -> Iterator[str]:
    """Return the dotted names that a file imports; the last part may be a module or not."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return  # running the file will report it
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files_of(name: str) -> Iterator[Path]:
    """Return the files that are executed when a dotted name is imported."""
    top, *parts = name.split(".")
    root = _root(top)
    if root is None:
        return
    yield root
    for number in range(len(parts)):
        below = root.parent.joinpath(*parts[: number + 1])
        for candidate in (below.with_suffix(".py"), below / "__init__.py"):
            if root.name == "__init__.py" and candidate.is_file():
                yield candidate


def _root(top: str) -> Path | None:
    """Return the file of a top-level module or package, or None if it is not the project's."""
    try:
        spec: ModuleSpec | None = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.has_location or spec.origin is None:
        return None
    path = Path(spec.origin)
    is_stdlib = path.is_relative_to(Path(ast.__file__).parent)
    return None if is_stdlib or _INSTALLED & set(path.parts) else path
