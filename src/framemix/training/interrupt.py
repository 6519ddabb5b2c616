"""Ends a training after a signal at the next point where another run can resume."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from lightning.pytorch.strategies import Strategy

from framemix.jobs.lifeline import handled
from framemix.jobs.terminal import print_text
from framemix.training.processes import process_rank

SIGNALS = (signal.SIGTERM, signal.SIGINT)  # of schedulers and spot machines; of Ctrl-C


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and Ctrl-C end the process during a wait in C, where no handler would run."""
    with handled(SIGNALS, signal.SIG_DFL):
        yield


class Interrupt:
    """Notes SIGTERM and Ctrl-C; the training looks between two steps whether one came.

    At its end, the context restores the earlier handlers, and ends the process if a signal came
    after the last look.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    def __enter__(self) -> None:
        self._before = {number: signal.getsignal(number) for number in SIGNALS}

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kind is None and self.number is not None:
            raise self.exit()

    def listen(self) -> None:
        """Note the signals from now on, in place of the earlier handlers."""
        for number in SIGNALS:
            signal.signal(number, self._note)

    def came(self, strategy: Strategy) -> bool:
        """Whether any of the processes that train together got a signal."""
        return bool(strategy.reduce_boolean_decision(self.number is not None, all=False))

    def exit(self) -> SystemExit:
        """Return the exception that exits with the signal's exit code: 143 for SIGTERM."""
        if process_rank():
            return SystemExit(0)  # Lightning kills the first process when another one fails
        number = signal.Signals(self.number or signal.SIGTERM)
        print_text(f"stopped by {number.name}: saved, run again to resume", error=True)
        return SystemExit(128 + number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
