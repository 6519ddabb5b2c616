"""Which source files of framemix a module needs: its outputs depend on them."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

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
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (path for name in names for path in _files_of(name))


def _files_of(module: str) -> Iterator[Path]:
    """Yield the files that importing `framemix.a.b` runs; b may be a name in the module a."""
    parts = module.split(".")
    if parts[0] != "framemix":
        return
    for depth in range(1, len(parts) + 1):
        base = PACKAGE.joinpath(*parts[1:depth])
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if candidate not in EXEMPT and candidate.is_file() and _has_code(candidate):
                yield candidate


@cache
def _has_code(file: Path) -> bool:
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return any(not isinstance(node, ast.Expr) for node in body)
