"""Ends a process when its parent is gone, because killing `dvc` does not kill its stage."""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

import psutil

PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Looked up here, not between fork and exec, where locks of other threads may stay locked for ever.
prctl = ctypes.CDLL(None).prctl
POLL_SECONDS = 0.2
SHELLS = {"sh", "bash", "dash", "zsh", "ksh", "fish"}
Handler = Callable[[int, FrameType | None], object] | signal.Handlers


def end_with_parent() -> None:
    """Exit at once when the parent process dies. For workers, which have nothing to save.

    Ctrl-C is ignored here: it reaches every process of a terminal, and the parent handles it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _watch(psutil.Process().parent(), lambda: os._exit(1))


def die_with(parent: int) -> None:
    """Have the kernel kill this process when `parent`, the process that started it, dies.

    For a process that may not be running Python then: a decoder that hangs, or a program that this
    process executes. It dies earlier if the thread that started it ends.
    """
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent had died before the call
        os._exit(1)


def stop_with_dvc() -> None:
    """Send this process SIGTERM when the DVC process that started it dies.

    Does nothing outside DVC, so that a stage that was started by hand outlives its terminal.
    """
    if "DVC_STAGE" in os.environ:
        ancestors = (p for p in psutil.Process().parents() if p.name() not in SHELLS)
        _watch(next(ancestors, None), lambda: os.kill(os.getpid(), signal.SIGTERM))


@contextmanager
def cleaning_up() -> Iterator[None]:
    """Let SIGTERM and the terminal's closing raise SystemExit, so that this process cleans up."""
    asked = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
    with handled(asked, _exit):
        yield


@contextmanager
def handled(signals: Iterable[signal.Signals], handler: Handler) -> Iterator[None]:
    """Give signals another handler until the context ends."""
    before = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _watch(process: psutil.Process | None, on_death: Callable[[], None]) -> None:
    def poll() -> None:
        while process is not None and _alive(process):
            time.sleep(POLL_SECONDS)
        on_death()

    threading.Thread(target=poll, name="lifeline", daemon=True).start()


def _alive(process: psutil.Process) -> bool:
    try:
        # A killed process stays a zombie until its own parent, which may be busy, waits for it.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
