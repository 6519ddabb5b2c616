"""Which source files of framemix a module needs: its outputs depend on them."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1]

# Files that decide no metric, picture or choice in an output: their changes rerun no stage.
EXEMPT = frozenset(
    PACKAGE / f"{name}.py"
    for name in (
        # Names that `import framemix` offers: no stage uses them.
        "__init__",
        # Whether finished work is used again; it is not changed.
        "jobs/fingerprint",
        "jobs/scratch",
        # That a file is complete, not what it contains.
        "jobs/atomic",
        # Where work is done, which the section `runtime` of params.yaml sets and no stage lists
        # either. The machine decides which file exceeds its limits, and how a device rounds.
        "jobs/cluster",
        "jobs/execution",
        "devices",
        "jobs/isolation",
        # What is shown while a stage runs, and how it ends early.
        "jobs/lifeline",
        "jobs/progress",
        "jobs/terminal",
        "project/stage",
        # The words of errors. They reach the column `reason` of a table, which no stage reads.
        "errors",
        # They refuse values of params.yaml or pass them on unchanged, which a test checks.
        "project/params",
        # Names of files, which DVC knows.
        "project/paths",
        "validation",
    )
)


def source_files(*files: Path) -> set[Path]:
    """Return the framemix files that `files` import, directly or not, without the exempt ones.

    A package's `__init__.py` counts where it holds code.
    """
    found: set[Path] = set()
    waiting = list(files)
    while waiting:
        for imported in _imports(waiting.pop()):
            if imported not in found:
                found.add(imported)
                waiting.append(imported)
    return found


@cache
def code_fingerprint(module_file: str) -> str:
    """Return a digest of a module's source and of all that `source_files` finds for it."""
    own = Path(module_file)
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted({own, *source_files(own)}):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def package_fingerprint() -> str:
    """Return a digest of all source files of this framemix."""
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(PACKAGE.rglob("*.py")):
        digest.update(f"\n{file.relative_to(PACKAGE).as_posix()}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _imports(file: Path) -> Iterator[Path]:
    for name in _read(file).imported:
        yield from _files_of(name)


@cache
def _files_of(module: str) -> tuple[Path, ...]:
    """Return the files that importing `framemix.a.b` runs; b may be a name in the module a."""
    package, *parts = module.split(".")
    if package != "framemix":
        return ()
    bases = [PACKAGE.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]
    files = [file for base in bases for file in (base.with_suffix(".py"), base / "__init__.py")]
    return tuple(
        file for file in files if file not in EXEMPT and file.is_file() and _read(file).has_code
    )


class _Source(NamedTuple):
    """The names that a file imports, and whether it has code besides a docstring."""

    imported: list[str]
    has_code: bool


@cache
def _read(file: Path) -> _Source:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names: list[str] = []
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return _Source(names, any(not isinstance(node, ast.Expr) for node in tree.body))


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all statements below a node; expressions, which hold none, are most of a tree."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            yield child
            yield from _statements(child)
