"""Measures in a separate process what training takes here, and how long its start takes.

This module does not import torch, which takes seconds, so that the process is asked at once.
"""

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from framemix.errors import FramemixError
from framemix.project.amounts import Sides
from framemix.project.params import Params

MODULE = "framemix.project.trial_training"
REQUEST, ANSWER = "request.pickle", "answer.pickle"


@dataclass(frozen=True)
class Request:
    """What is asked: the number of classes of UCF101, and the clips that each stage trains on.

    `parent` is the process that asks, and `asked` when it did, by the monotonic clock.
    """

    params: Params
    classes: int
    sides: Mapping[str, Sides]
    parent: int
    asked: float


@dataclass(frozen=True)
class Trained:
    """What a short training took: `train` seconds for one train clip, `predict` for a prediction.

    `rest` is the seconds for everything else in the stage, `weights` the bytes of a model file,
    and `at_once` the clips that were in memory together: those of a step, or fewer. Clips that are
    `resident` are read once, and go through `frozen` layers once.
    """

    train: float
    predict: float
    rest: float
    weights: int
    at_once: int
    resident: bool
    frozen: bool


@dataclass(frozen=True)
class Networks:
    """What the stages with networks took: loading libraries, each training, each report.

    A training is None where a step with one clip takes more memory than is free. A report is
    missing where the networks are too slow to try it.
    """

    start: float
    trained: Mapping[str, Trained | None]
    reports: Mapping[str, float]


def try_networks(
    params: Params, classes: int, sides: Mapping[str, Sides], folder: Path
) -> Networks:
    """Train each network on a few made clips in `folder`, which must not exist.

    Raises FramemixError as the stages do, or where the process does not answer.
    """
    folder.mkdir()
    request = Request(params, classes, sides, os.getpid(), time.monotonic())
    (folder / REQUEST).write_bytes(pickle.dumps(request))
    done = subprocess.run(
        [sys.executable, "-P", "-m", MODULE, str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if not (folder / ANSWER).is_file():
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise FramemixError(f"trying the networks ended early ({done.returncode}): {lines[-1]}")
    answer: Networks | FramemixError = pickle.loads((folder / ANSWER).read_bytes())
    if isinstance(answer, FramemixError):
        raise answer
    return answer
