"""Predicts while a video comes in: the latest window, as often as there is a new one."""

# S segments, K classes

import time
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Condition, Thread

from framemix.errors import VideoError
from framemix.inference.classifier import Classifier, Probabilities
from framemix.inference.clips import MixedClip, Sliding, windows_of

Arrival = tuple[MixedClip, float]  # that has just filled, and when its last frame arrived


@dataclass(frozen=True)
class LivePrediction:
    """What the model says of the window that ends at `seconds`.

    `latency` is the seconds from the arrival of its last frame to the answer; `skipped` the
    windows since the last answer that had gone by before there was time for them.
    """

    seconds: float
    probabilities: Probabilities
    latency: float
    skipped: int


def watch(
    classifier: Classifier, source: str, sliding: Sliding, *, as_fast_as_possible: bool
) -> Iterator[LivePrediction]:
    """Yield what the model says of the last `sliding.window` seconds, each `sliding.step` seconds.

    Frames are taken and mixed beside the network, so none is missed; when it is too slow for
    every window, the newest counts. `as_fast_as_possible` takes a file's frames without waiting
    and skips none. Raises VideoError, also when the source ends before its first window is full.
    """
    windows = windows_of(source, classifier.mix, sliding, paced=not as_fast_as_possible)
    handover = _Handover(keep_all=as_fast_as_possible)
    # A daemon: a camera that hangs does not keep the program from ending.
    Thread(target=handover.fill, args=(windows,), daemon=True).start()
    answers = 0
    try:
        for (clip, arrived), skipped in handover.drain():
            probabilities = classifier.probabilities(clip.mixed[None])[0]
            yield LivePrediction(clip.end, probabilities, time.monotonic() - arrived, skipped)
            answers += 1
    finally:
        handover.end()
    if not answers:
        raise VideoError(source, f"ended before the first {sliding.window:g} s were over")


class _Handover:
    """Takes windows from the thread that makes them to that which predicts: the newest, or all."""

    def __init__(self, *, keep_all: bool) -> None:
        self.keep_all, self.changed = keep_all, Condition()
        self.window: Arrival | None = None
        self.skipped, self.ended = 0, False
        self.error: Exception | None = None

    def fill(self, windows: Iterator[Arrival]) -> None:
        """Offer all the windows, until they or the interest in them end."""
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
        """Yield the windows that there is time for, each with how many were skipped before it."""
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

    def end(self) -> None:
        """Let both sides stop."""
        with self.changed:
            self.ended = True
            self.changed.notify_all()
