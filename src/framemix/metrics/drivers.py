"""Drowsy and alert clips of drivers, and the metrics of their predictions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from framemix.metrics.intervals import ClipMetrics
from framemix.metrics.measures import (
    Bools,
    Floats,
    Measure,
    auroc,
    calibration_error,
    sensitivity_at,
    share_measure,
)

# Shapes: N drowsy and alert clips.

BINS = 10  # of the calibration
SPECIFICITY = 0.95  # one false alarm in twenty clips


@dataclass(frozen=True)
class DriverClips:
    """Drowsy and alert clips: their states, p(drowsy), and whether drowsy was likeliest, (N,)."""

    drowsy: Bools
    scores: Floats
    called: Bools

    @classmethod
    def of(
        cls, states: Sequence[str], scores: Sequence[float], called: Sequence[bool]
    ) -> "DriverClips":
        """Return the drowsy and alert ones of clips in all states."""
        counted = np.array([state in ("drowsy", "alert") for state in states], dtype=np.bool_)
        return cls(
            drowsy=np.array([state == "drowsy" for state in states], dtype=np.bool_)[counted],
            scores=np.array(scores, dtype=np.float64)[counted],
            called=np.array(called, dtype=np.bool_)[counted],
        )

    @property
    def right(self) -> Bools:
        """The clips that are predicted correctly; any prediction but drowsy counts as alert."""
        return ~(self.called ^ self.drowsy)

    @property
    def found(self) -> Measure:
        """Paper A's: the share of drowsy clips whose top-1 is drowsy."""
        return share_measure("drowsy_accuracy", self.called[self.drowsy])

    @property
    def ranked(self) -> Measure:
        """How often a drowsy clip has a higher p(drowsy) than an alert one."""
        area = auroc(self.scores, self.drowsy)
        return Measure("drowsy_vs_alert_auroc", area, len(self.drowsy))

    @property
    def separation(self) -> list[Measure]:
        """The metrics over both states, each of which must have clips."""
        pair, clips = (self.scores, self.drowsy), len(self.drowsy)
        return [
            share_measure("drowsy_vs_alert_accuracy", self.right),
            self.ranked,
            Measure("sensitivity_at_95_specificity", sensitivity_at(SPECIFICITY, *pair), clips),
            Measure("calibration_error", calibration_error(*pair, BINS), clips),
        ]


def measure_drivers(
    probabilities: Tensor, states: Sequence[str], drowsy_class: int, subjects: Sequence[str]
) -> list[ClipMetrics]:
    """Return how well drowsy clips are found, and distinguished from alert ones.

    `probabilities` (clips, K) are of clips of subjects held out of training, `states` and
    `subjects` are the clips' own.
    """
    called = probabilities.argmax(1) == drowsy_class
    clips = DriverClips.of(states, probabilities[:, drowsy_class].tolist(), called.tolist())
    both = [s for s, state in zip(subjects, states, strict=True) if state in ("drowsy", "alert")]
    drowsy = [s for s, state in zip(subjects, states, strict=True) if state == "drowsy"]
    return [ClipMetrics([clips.found], drowsy), ClipMetrics([clips.ranked], both)]
