"""Compares the outputs of all pipelines with dvc.lock, byte by byte.

DVC compares size and date, and trusts its cache. So it does not notice that a disk lost a bit, and
`dvc checkout` restores the damaged file, because the cache holds the same file under another name.
"""

import hashlib
import json
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo

from framemix.errors import ExperimentsError, one_line
from framemix.jobs.progress import track
from framemix.project.doctor import Finding


@dataclass(frozen=True)
class Output:
    """A file or folder that a stage wrote: its MD5, and its place in DVC's cache.

    The MD5 of a folder is that of a list of its files in the cache.
    """

    stage: str
    path: Path
    md5: str
    cached: Path
    is_folder: bool


def examine_outputs(scratch: Path) -> Iterator[Finding]:
    """Report damaged and missing outputs, with the commands that restore them.

    Stages that have not run are left out. Finished work in `scratch` may be the same file under
    another name. Raises ExperimentsError where DVC cannot read the pipelines.
    """
    outputs, cache = _locked()
    files, bad = [], []
    for output in outputs:
        members = _members(output) if output.is_folder else [output]
        if members is None:
            bad.append(_lost(output, scratch))
            continue
        files += members
        bad += _strangers(output, members) if output.is_folder else []
    places = [Path(), *(place for place in (cache, scratch) if not _is_below(place, Path.cwd()))]
    for file in track(files, total=len(files), label="read outputs"):
        if _md5(file.path) != file.md5:
            bad.append(_damaged(file, places))
    yield Finding(not bad, f"outputs: {len(files)} files in DVC's lock files, {len(bad)} wrong")
    yield from bad


def _locked() -> tuple[list[Output], Path]:
    """Return the outputs in all lock files, and the folder of DVC's cache.

    They are in the order of the stages: a file that depends on a damaged one is restored after it.
    """
    try:
        repo = Repo()
        graph = repo.index.graph
    except DvcException as error:
        raise ExperimentsError(f"DVC: {one_line(error)}; allowed: a checkout of framemix") from None
    needed = {stage: list(graph.successors(stage)) for stage in graph}
    outputs = [
        Output(
            stage=stage.addressing,
            path=Path(os.path.relpath(out.fs_path)),
            md5=out.hash_info.value.removesuffix(".dir"),
            cached=Path(out.cache.oid_to_path(out.hash_info.value)),
            is_folder=out.hash_info.isdir,
        )
        for stage in TopologicalSorter(needed).static_order()
        for out in stage.outs
        if out.hash_info
    ]
    return outputs, Path(repo.cache.local.path)


def _members(folder: Output) -> list[Output] | None:
    """Return the files of a folder, from the list in the cache or, without it, from the folder.

    None where the list is missing and the folder's files do not match its MD5.
    """
    text = folder.cached.read_bytes() if folder.cached.is_file() else b""
    if hashlib.md5(text).hexdigest() != folder.md5:
        text = _list_of(folder.path)
        if hashlib.md5(text).hexdigest() != folder.md5:
            return None
    files = folder.cached.parents[1]
    return [
        replace(
            folder,
            path=folder.path / entry["relpath"],
            md5=entry["md5"],
            cached=files / entry["md5"][:2] / entry["md5"][2:],
        )
        for entry in json.loads(text)
    ]


def _list_of(folder: Path) -> bytes:
    """Return the list of the current files of a folder, in DVC's format."""
    files = {file.relative_to(folder).as_posix(): file for file in _files_below(folder)}
    entries = [{"md5": _md5(files[name]), "relpath": name} for name in sorted(files)]
    return json.dumps(entries, sort_keys=True).encode()


def _files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir()]


def _md5(file: Path) -> str | None:
    """Return the MD5 of a file's content, None where there is no file."""
    if not file.is_file():
        return None
    with file.open("rb") as content:
        return hashlib.file_digest(content, "md5").hexdigest()


def _damaged(file: Output, places: Sequence[Path]) -> Finding:
    """Return a finding about a wrong file, and how to restore it: from the cache or its stage."""
    there, cached = os.path.lexists(file.path), _md5(file.cached)
    spoilt = [file.path] if there else []
    # If the cache has the same file, one search finds both.
    same = file.path.exists() and file.cached.exists() and file.path.samefile(file.cached)
    if cached not in (None, file.md5) and not same:
        spoilt.append(file.cached)
    mend = [_delete(path, places) for path in spoilt]
    mend.append(
        f"dvc checkout {shlex.quote(str(file.path))}"
        if cached == file.md5
        else f"dvc repro {shlex.quote(file.stage)}"
    )
    wrong = "not what its stage wrote" if there else "missing"
    return Finding(False, f"{file.path}: {wrong}; mend it with: {'; '.join(mend)}")


def _delete(path: Path, places: Sequence[Path]) -> str:
    """Return the command that deletes a file under all its names, or it would be restored."""
    follow = "-L " if path.is_symlink() else ""
    roots = " ".join(shlex.quote(str(place)) for place in places)
    return f"find {follow}{roots} -samefile {shlex.quote(str(path))} -delete"


def _strangers(folder: Output, members: Sequence[Output]) -> Iterator[Finding]:
    known = {file.path for file in members}
    for path in sorted(set(_files_below(folder.path)) - known):
        yield Finding(
            False, f"{path}: no output of {folder.stage}; mend it with: rm {shlex.quote(str(path))}"
        )


def _lost(folder: Output, scratch: Path) -> Finding:
    names = " ".join(shlex.quote(str(path)) for path in (folder.path, scratch))
    return Finding(
        False,
        f"{folder.path}: not as its stage wrote it, and the cache has lost the list of its files; "
        f"mend it with: rm -rf {names}; dvc repro {shlex.quote(folder.stage)}",
    )


def _is_below(path: Path, folder: Path) -> bool:
    return path.absolute().is_relative_to(folder)
