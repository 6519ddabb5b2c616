"""Code that every pipeline stage runs around its work."""

import multiprocessing.resource_tracker
import os
import signal
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from operator import contains
from pathlib import Path
from types import FrameType

import psutil

from framemix.errors import DatasetError, FramemixError, is_out_of_memory, one_line
from framemix.jobs.atomic import disk_errors
from framemix.jobs.lifeline import stop_with_dvc
from framemix.jobs.progress import end_bars
from framemix.jobs.scratch import copied_from
from framemix.jobs.terminal import leave_line, print_error, print_text

RESOURCE_TRACKER = multiprocessing.resource_tracker.__name__
# The text of an error, and of `framemix doctor`, where data.rldd has no videos.
WITHOUT_DRIVERS = "without drivers: dvc repro report_pretraining"


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage; report a FramemixError, an OSError about a file or a full GPU in one line.

    The exit code is then 1. Ctrl-C and SIGTERM are one line too, with the exit code 128 + number.
    The stage stops when the DVC process that started it dies.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    stop_with_dvc()
    try:
        with disk_errors(Path.cwd()):
            main()
    except FramemixError as error:
        _end_with(str(error))
    except OSError as error:
        if error.filename is None:
            raise
        _end_with(f"{error.filename}: {error.strerror}")
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        _end_with(f"{one_line(error)}; allowed: a smaller batch_size, or more parts: accumulate")


def require_data(root: Path, key: str) -> None:
    """Raise DatasetError where data below the checkout are missing in an experiment's copy.

    `dvc exp run --queue` and `--temp` copy only files that Git and DVC track.
    """
    if copied_from(Path.cwd()) is None or root.is_absolute():
        return
    inside = root.iterdir() if root.is_dir() else ()
    if not (root.is_file() or any(path.name != "README.md" for path in inside)):
        raise DatasetError(
            f"{key} = {root}: not in this experiment's copy of the checkout, which has only what "
            f"Git and DVC track; allowed: an absolute path"
        )


def _end_with(error: str) -> None:
    print_error(error)
    sys.exit(1)


def arguments(*allowed: Collection[str]) -> list[str]:
    """Return the stage's arguments.

    Raises FramemixError unless there is one of each of `allowed`.
    """
    given = sys.argv[1:]
    fits = len(given) == len(allowed) and all(map(contains, allowed, given))
    if not fits:
        raise FramemixError(
            f"{Path(sys.argv[0]).stem} {' '.join(given) or 'without an argument'}: "
            f"allowed: one of {', and one of '.join(map(', '.join, allowed))}"
        )
    return given


def _stop(signum: int, frame: FrameType | None) -> None:
    end_bars()
    if signum == signal.SIGINT:
        leave_line(sys.stderr)
    print_text(
        f"stopped by {signal.Signals(signum).name}: finished work is kept, run again to resume",
        error=True,
    )
    # Other threads would report that the workers are gone.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    # Workers have only unfinished units, which are made again, so they can be killed.
    for worker in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            # The resource tracker, which deletes their semaphores, ends after them by itself.
            if not any(RESOURCE_TRACKER in word for word in worker.cmdline()):
                worker.kill()
    # At once, because pools would wait for their tasks and report that workers are gone.
    os._exit(128 + signum)
