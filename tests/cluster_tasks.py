"""Tasks for the tests of clusters. They are apart, so that workers import little else."""

import os
import signal
import time
from pathlib import Path

from framemix.errors import VideoError


def end_worker(path: Path) -> str:
    """End the worker: always, or the first time only."""
    if path.name == "always" or (path.name == "once" and not path.exists()):
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return path.name


def square_slowly(number: int) -> tuple[int, int]:
    time.sleep(0.02 * (5 - number))  # the first task is the last to end
    return number**2, os.getpid()


def refuse_two(number: int) -> int:
    if number == 2:
        raise VideoError("a.avi", "cannot be decoded")
    return number


def leave_a_trace(path: Path) -> None:
    time.sleep(0.05)
    path.touch()
    if path.name == "0":
        raise VideoError("first", "refused")


def write_id_and_sleep(path: Path) -> None:
    path.with_suffix(".tmp").write_text(str(os.getpid()))
    path.with_suffix(".tmp").rename(path)
    time.sleep(60)


def pause(number: int) -> int:
    time.sleep(0.2)
    return number
