"""The work of a data stage: many units, side by side."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from framemix.jobs.cluster import Cluster, map_tasks
from framemix.jobs.isolation import Limits
from framemix.jobs.scratch import Unit, locked

LOCK = "stage.lock"


@dataclass(frozen=True)
class Execution:
    """How a stage runs: where it keeps finished units, on which workers, within which limits.

    Nothing of it decides an output.
    """

    scratch: Path
    cluster: Cluster
    limits: Limits


@contextmanager
def finished(units: Iterable[Unit], execution: Execution, *, label: str) -> Iterator[list[Path]]:
    """Finish the units of a stage side by side; provide their folders in order.

    Every other unit in the scratch folder is deleted, so that the folder holds one run's work. The
    folders are safe to read inside the context only: another run waits for its end.
    """
    folder = execution.scratch
    with locked(folder / LOCK):
        finish = partial(Unit.finish, folder=folder)
        done = list(map_tasks(finish, list(units), cluster=execution.cluster, label=label))
        kept = {LOCK, *(unit.name for unit in done), *(f"{unit.name}.lock" for unit in done)}
        for old in folder.iterdir():
            if old.name not in kept:
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        yield done
