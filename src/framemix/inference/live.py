"""Predicts a live video: the latest window, whenever there is a new one."""

# S segments, K classes

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from threading import Condition, Thread

from framemix.errors import VideoError, without_password
from framemix.inference.classifier import Classifier, Probabilities
from framemix.inference.clips import MixedClip, Sliding, windows_of
from framemix.jobs.terminal import print_text
from framemix.mixing import MixSettings
from framemix.text.names import printable
from framemix.video.live import is_endless

# Before a source is opened again; twice as long each time that it gives no window. Seconds.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0

Arrival = tuple[MixedClip, float]  # a window, and when its last frame arrived


@dataclass(frozen=True)
class LivePrediction:
    """The prediction for the window that ends at `seconds`.

    `latency` is the seconds from the arrival of its last frame to the prediction; `skipped` the
    number of windows since the last prediction for which there was no time.
    """

    seconds: float
    probabilities: Probabilities
    latency: float
    skipped: int


def watch(
    classifier: Classifier, source: str, sliding: Sliding, *, as_fast_as_possible: bool
) -> Iterator[LivePrediction]:
    """Yield the prediction for the last `sliding.window` seconds, every `sliding.step` seconds.

    Another thread reads and mixes the frames, so none is missed; when the network is too slow for
    every window, it takes the newest. `as_fast_as_possible` reads a file without waiting and skips
    no window. The end of a file or a pipe ends the iterator; a camera or a stream that ends, or
    falls silent, is opened again until the iterator is closed. Raises VideoError, also when the
    source ends before its first window is full.
    """
    handover = _Handover(keep_all=as_fast_as_possible)
    if is_endless(source):
        windows = _reopened(source, classifier.mix, sliding, handover)
    else:
        windows = windows_of(source, classifier.mix, sliding, paced=not as_fast_as_possible)
    # A daemon, so that the program can end while a camera hangs.
    Thread(target=handover.fill, args=(windows,), daemon=True).start()
    predicted = 0
    try:
        for (clip, arrived), skipped in handover.drain():
            probabilities = classifier.probabilities(clip.mixed[None])[0]
            yield LivePrediction(clip.end, probabilities, time.monotonic() - arrived, skipped)
            predicted += 1
    finally:
        handover.end()
    if not predicted:
        raise VideoError(source, f"ended before the first {sliding.window:g} s were over")


def _reopened(
    source: str, mix: MixSettings, sliding: Sliding, handover: "_Handover"
) -> Iterator[Arrival]:
    """Yield the windows of a camera or a stream, which is opened again when it ends.

    Seconds count from the first opening on, also while it is closed. No window spans a gap.
    """
    begun, end, pause = None, 0.0, FIRST_PAUSE
    while True:
        shift, reason = None, "ended"
        try:
            for clip, arrived in windows_of(source, mix, sliding, paced=True):
                begun = arrived - clip.end if begun is None else begun
                if shift is None:  # a stream may also send faster than the clock
                    shift = max(arrived - begun - clip.end, end - clip.start)
                end, pause = clip.end + shift, FIRST_PAUSE
                yield replace(clip, start=clip.start + shift, end=end), arrived
        except VideoError as error:
            if begun is None:
                raise
            reason = error.reason
        if begun is None:
            return
        name = printable(without_password(source))
        print_text(f"{name}: {reason}; opening it again in {pause:g} s", error=True)
        if handover.is_over_after(pause):
            return
        pause = min(2 * pause, LONGEST_PAUSE)


class _Handover:
    """Passes windows from the thread that mixes to the thread that predicts: the newest, or all."""

    def __init__(self, *, keep_all: bool) -> None:
        self.keep_all, self.changed = keep_all, Condition()
        self.window: Arrival | None = None
        self.skipped, self.ended = 0, False
        self.error: Exception | None = None

    def fill(self, windows: Iterator[Arrival]) -> None:
        """Offer all windows, until there are no more or `end` is called."""
        try:
            for window in windows:
                with self.changed:
                    self.changed.wait_for(lambda: self.ended or not (self.keep_all and self.window))
                    if self.ended:
                        return
                    self.skipped += self.window is not None
                    self.window = window
                    self.changed.notify_all()
        except Exception as error:
            self.error = error  # raised by `drain`
        finally:
            self.end()

    def drain(self) -> Iterator[tuple[Arrival, int]]:
        """Yield each window for which there is time, with the number of windows skipped before."""
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.ended or self.window)
                window, skipped = self.window, self.skipped
                self.window, self.skipped = None, 0
                self.changed.notify_all()
            if window is None:
                break
            yield window, skipped
        if self.error is not None:
            raise self.error

    def is_over_after(self, seconds: float) -> bool:
        """Wait for `seconds`, or until both threads must stop; return whether they must."""
        with self.changed:
            return self.changed.wait_for(lambda: self.ended, seconds)

    def end(self) -> None:
        """Stop both threads."""
        with self.changed:
            self.ended = True
            self.changed.notify_all()
