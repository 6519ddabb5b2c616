"""What every pipeline stage does around its work."""

import signal
import sys
from collections.abc import Callable
from types import FrameType

from framemix.errors import FramemixError
from framemix.lifeline import stop_with_dvc


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage: a user's error is one line and exit code 1; SIGTERM and Ctrl-C end it tidily.

    The stage stops when the DVC process that started it dies.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _terminate)
    stop_with_dvc()
    try:
        main()
    except FramemixError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def _terminate(signum: int, frame: FrameType | None) -> None:
    sys.exit(128 + signum)
