"""How well a model distinguishes drowsy drivers from alert ones: the paper's metric, and others.

Paper A counts the drowsy clips that are found (its table 2). A model that predicts drowsy for every
face scores 100 % there; a detector must also raise no alarm on alert clips.
"""

from collections.abc import Sequence

import numpy as np

from framemix.metrics.drivers import BINS, DriverClips
from framemix.metrics.intervals import Estimate, estimate, wilson
from framemix.metrics.measures import Bools, Floats, bin_of
from framemix.tables import MaybeFloat, Row


class DriverPrediction(Row):
    """A model's prediction for a driver's clip; `predicted` is its top-1 class."""

    clip: str
    subject: str
    state: str
    predicted: str
    p_drowsy: float


class SubjectRow(Row):
    """A subject's drowsy and alert clips: how many are correct, and p(drowsy) of each state."""

    subject: str
    drowsy_clips: int
    drowsy_found: int
    alert_clips: int
    alert_left_alone: int
    accuracy: float
    low: float
    high: float
    p_drowsy_when_drowsy: MaybeFloat
    p_drowsy_when_alert: MaybeFloat


class Bin(Row):
    """Clips whose p(drowsy) is in one part of [0, 1]: the mean p, and how many are drowsy."""

    clips: int
    mean_p: float
    share_drowsy: float
    low: float
    high: float


def drowsiness_estimates(drivers: Sequence[DriverPrediction]) -> list[Estimate]:
    """Return the metrics that are defined, with intervals by bootstrap over subjects.

    `drowsy_accuracy` is paper A's. The others are over drowsy and alert clips; any prediction but
    drowsy counts as not drowsy, and low_vigilant clips are left out.
    """
    counted, subjects = driver_clips(drivers)
    drowsy_subjects = [s for s, drowsy in zip(subjects, counted.drowsy, strict=True) if drowsy]
    found = estimate(counted.found, drowsy_subjects)
    if len(set(counted.drowsy.tolist())) < 2:
        return [found] if found else []
    others = [estimate(measure, subjects) for measure in counted.separation]
    return [_without_bias(each) for each in (found, *others) if each]


def _without_bias(found: Estimate) -> Estimate:
    """Return the metric, without an interval for the calibration error.

    With few clips, that error is biased upward, and even more in resamples.
    """
    if found.metric != "calibration_error":
        return found
    return found.model_copy(update={"low": None, "high": None, "interval": ""})


def by_subject(drivers: Sequence[DriverPrediction]) -> list[SubjectRow]:
    """Return one row per subject who has drowsy or alert clips."""
    counted, subjects = driver_clips(drivers)
    names = np.array(subjects)
    return [_subject_row(name, counted, names == name) for name in sorted(set(subjects))]


def reliability(drivers: Sequence[DriverPrediction]) -> list[Bin]:
    """Return the bins of p(drowsy) that have clips, in order; intervals are Wilson's."""
    counted, _ = driver_clips(drivers)
    bins = bin_of(counted.scores, BINS)
    rows = []
    for number in np.unique(bins):
        scores, drowsy = counted.scores[bins == number], counted.drowsy[bins == number]
        low, high = wilson(drowsy.sum(), len(drowsy))
        rows.append(
            Bin(
                clips=len(drowsy),
                mean_p=scores.mean(),
                share_drowsy=drowsy.mean(),
                low=low,
                high=high,
            )
        )
    return rows


def driver_clips(drivers: Sequence[DriverPrediction]) -> tuple[DriverClips, list[str]]:
    """Return the drowsy and alert clips, and their subjects."""
    chosen = [driver for driver in drivers if driver.state in ("drowsy", "alert")]
    clips = DriverClips.of(
        [driver.state for driver in chosen],
        [driver.p_drowsy for driver in chosen],
        [driver.predicted == "drowsy" for driver in chosen],
    )
    return clips, [driver.subject for driver in chosen]


def _subject_row(name: str, counted: DriverClips, own: Bools) -> SubjectRow:
    drowsy, alert = own & counted.drowsy, own & ~counted.drowsy
    right, clips = int(counted.right[own].sum()), int(own.sum())
    low, high = wilson(right, clips)
    return SubjectRow(
        subject=name,
        drowsy_clips=int(drowsy.sum()),
        drowsy_found=int(counted.called[drowsy].sum()),
        alert_clips=int(alert.sum()),
        alert_left_alone=int((~counted.called[alert]).sum()),
        accuracy=round(right / clips, 6),
        low=round(low, 6),
        high=round(high, 6),
        p_drowsy_when_drowsy=_mean(counted.scores[drowsy]),
        p_drowsy_when_alert=_mean(counted.scores[alert]),
    )


def _mean(scores: Floats) -> float | None:
    return round(float(scores.mean()), 6) if len(scores) else None
