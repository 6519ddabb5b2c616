"""Pipelines besides the main one: stored in pipelines/, and activated when they are wanted.

DVC reads every dvc.yaml of the work tree, and for a pipeline that never ran, `dvc exp run` and
`dvc status` warn of each output, and `dvc pull` fails. No ignore file prevents this.
"""

import subprocess
from pathlib import Path

from framemix.errors import ParamsError
from framemix.project.paths import PIPELINES


def activate(name: str) -> Path:
    """Make `name`/dvc.yaml a link to pipelines/`name`.yaml, add it to Git, and return it.

    It is a link, so that it never gets out of date. Raises ParamsError for an unknown name, or
    where another file is in its place.
    """
    source, target = PIPELINES / f"{name}.yaml", Path(name, "dvc.yaml")
    if not source.is_file():
        known = ", ".join(sorted(file.stem for file in PIPELINES.glob("*.yaml")))
        raise ParamsError(f"pipeline {name}: allowed: {known or 'the names in a checkout'}")
    if target.is_symlink() or not target.exists():
        target.parent.mkdir(exist_ok=True)
        target.unlink(missing_ok=True)
        target.symlink_to(Path("..") / source)
    if not target.samefile(source):
        raise ParamsError(f"{target}: is no link to {source}; move it away first")
    added = subprocess.run(["git", "add", target], capture_output=True, text=True)
    if added.returncode:  # an experiment has only files that Git knows
        raise ParamsError(f"{target}: cannot be added to Git: {' '.join(added.stderr.split())}")
    return target
