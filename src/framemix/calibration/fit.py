"""Fits a temperature and the alarm's threshold to labelled clips."""

# N windows of all clips, K classes

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

import numpy as np

from framemix.calibration.clips import LabelledClip
from framemix.calibration.threshold import FalseAlarms, best_threshold, false_alarms, smoothed
from framemix.datasets.clips import STATES
from framemix.inference.baseline import usual_log_odds
from framemix.inference.clips import Sliding
from framemix.metrics.drivers import BINS
from framemix.metrics.intervals import Estimate, estimate
from framemix.metrics.measures import Floats, calibration_error, share_measure
from framemix.metrics.temperature import Labels, fitted_temperature, mean_nll, tempered
from framemix.models.calibration import Calibration

AWAKE = STATES[0]


@dataclass(frozen=True)
class Certainty:
    """How right the probabilities of windows are: NLL of all classes, calibration error of one."""

    nll: float
    error: float


@dataclass(frozen=True)
class AtThreshold:
    """How an alarm did on clips: the share of its class that it found, and the false alarms."""

    sensitivity: Estimate
    false_alarms: FalseAlarms


def negative_classes(classes: Sequence[str], watched: str) -> list[str]:
    """Return the classes in whose clips an alarm is a false one: alert, if there is such a class.

    What a drowsiness alarm does to someone of low vigilance is neither right nor wrong.
    """
    others = [name for name in classes if name != watched]
    return [AWAKE] if AWAKE in others else others


@dataclass(frozen=True)
class Fitting:
    """Clips with the classes of the model, and the class that the alarm is for."""

    clips: Sequence[LabelledClip]
    classes: Sequence[str]
    watched: str
    sliding: Sliding

    def fit(self, most: float) -> Calibration:
        """Return the temperature with the lowest NLL, and the threshold of `best_threshold`.

        The alarm has at most `most` false alarms per hour on the clips.
        """
        temperature = fitted_temperature(self._log_p, self._labels)
        on = best_threshold(*self._levels(temperature), most, self.sliding.step)
        usual = self._usual(temperature)
        return Calibration(temperature=temperature, alarm=self.watched, on=on, usual=usual)

    def at_threshold(self, calibration: Calibration) -> AtThreshold:
        """Return how the alarm of a calibration does on the clips."""
        positive, negative = self._levels(calibration.temperature)
        hits = np.array([levels.max() >= calibration.on for levels in positive])
        found = estimate(share_measure("sensitivity", hits), [one.group for one in self.positive])
        assert found is not None  # there are such clips
        return AtThreshold(found, false_alarms(negative, calibration.on, self.sliding.step))

    def certainty(self, temperature: float) -> Certainty:
        """Return how right the probabilities of all windows are at a temperature."""
        shares = tempered(self._log_p, temperature)
        positive = self._labels == self._place
        error = calibration_error(shares[:, self._place], positive, BINS)
        return Certainty(mean_nll(shares, self._labels), float(error(np.ones((1, len(shares))))[0]))

    @cached_property
    def positive(self) -> list[LabelledClip]:
        """The clips of the class that the alarm is for."""
        return [one for one in self.clips if one.label == self.watched]

    @cached_property
    def negative(self) -> list[LabelledClip]:
        """The clips in which an alarm is a false one."""
        names = negative_classes(self.classes, self.watched)
        return [one for one in self.clips if one.label in names]

    @property
    def _place(self) -> int:
        return self.classes.index(self.watched)

    @cached_property
    def _log_p(self) -> Floats:
        return np.concatenate([one.log_p for one in self.clips])

    @cached_property
    def _labels(self) -> Labels:
        places = [self.classes.index(one.label) for one in self.clips]
        return np.repeat(places, [len(one.ends) for one in self.clips])

    def _levels(self, temperature: float) -> tuple[list[Floats], list[Floats]]:
        """Return the smoothed probabilities of the clips with the class, and of those without."""
        positive, negative = (
            [smoothed(self._shares(one, temperature), one.ends) for one in clips]
            for clips in (self.positive, self.negative)
        )
        return positive, negative

    def _shares(self, clip: LabelledClip, temperature: float) -> Floats:
        """Return the probability of the class in each window (W,)."""
        return tempered(clip.log_p, temperature)[:, self._place]

    def _usual(self, temperature: float) -> float:
        """Return the usual log odds of people who do not show the class, each counted once."""
        people: dict[str, list[float]] = {}
        for one in self.negative:
            people.setdefault(one.group, []).extend(self._shares(one, temperature).tolist())
        return median(usual_log_odds(shares) for shares in people.values())
