"""One driver's baseline: what a model finds while that driver is known to be alert."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from framemix.errors import FramemixError
from framemix.inference.classifier import Classifier
from framemix.inference.clips import USUAL_LIMITS, Sliding, isolated_clips
from framemix.inference.prediction import predict_clips
from framemix.jobs.terminal import print_text

if TYPE_CHECKING:
    from framemix.models.calibration import Calibration

EDGE = 1e-6  # probabilities nearer to 0 or 1 are as sure as these: float32 rounds them
LONGEST = 3600.0  # seconds: a day without an alarm would be a slip


def log_odds_of(probability: float) -> float:
    """Return log(p / (1 - p)), from that of EDGE to that of 1 - EDGE."""
    p = min(max(probability, EDGE), 1 - EDGE)
    return math.log(p / (1 - p))


def probability_of(log_odds: float) -> float:
    """Return the probability with these log odds."""
    return 1 / (1 + math.exp(-log_odds))


def usual_log_odds(probabilities: Iterable[float]) -> float:
    """Return the median of the log odds: a yawn or a look aside in a minute hardly moves it."""
    return median(map(log_odds_of, probabilities))


def odds_divisor(seen: Iterable[float], usual: float) -> float:
    """Return how many times the usual odds those of a baseline are, but at least 1."""
    return math.exp(max(0.0, usual_log_odds(seen) - usual))


def divided(probability: float, divisor: float) -> float:
    """Return the probability with odds divided by a number."""
    return probability / (probability + (1 - probability) * divisor)


@dataclass
class Baseline:
    """Lowers the probability of a class for one driver.

    The driver does not show the class until `seconds` of the source, nor did when `seen` was
    predicted. As far as the log odds are then above the `usual` ones of people who do not show it,
    they are lowered from there on. They are never raised: a driver who looked more alert than usual
    for a minute shall have no more alarms.
    """

    usual: float
    seconds: float = 0.0
    seen: list[float] = field(default_factory=list)
    divisor: float | None = None  # of the odds, once it is known

    def adjusted(self, probability: float, seconds: float) -> float | None:
        """Return the driver's own probability at `seconds`; None while the baseline lasts."""
        if seconds <= self.seconds:
            self.seen.append(probability)
            return None
        return divided(probability, self.settled())

    def settled(self) -> float:
        """Return what the odds are divided by; the first call prints it to stderr."""
        if self.divisor is None:
            self.divisor = odds_divisor(self.seen, self.usual) if self.seen else 1.0
            changed = self.divisor > 1
            lowered = f"are divided by {self.divisor:.3g}" if changed else "stay as they are"
            print_text(
                f"note: baseline of {len(self.seen)} windows: the odds {lowered}", error=True
            )
        return self.divisor


def baseline_of(
    named: str, classifier: Classifier, watched: str | None, sliding: Sliding
) -> Baseline:
    """Return the baseline that `--baseline` names: seconds of the source, or a video of the driver.

    Raises FramemixError where the model was not calibrated for the class `watched` or no window
    would be in the baseline, and VideoError.
    """
    calibration = _required(classifier, watched)
    seconds = _seconds(named)
    if seconds is not None:
        if not sliding.window <= seconds <= LONGEST:
            raise FramemixError(
                f"--baseline {named}: allowed: {sliding.window:g} (a window) to {LONGEST:g} "
                f"seconds, or a video"
            )
        return Baseline(calibration.usual, seconds)
    clips = isolated_clips(Path(named), classifier.mix, sliding, USUAL_LIMITS)
    place = classifier.classes.index(calibration.alarm)
    seen = [
        float(prediction.probabilities[place]) for _, prediction in predict_clips(classifier, clips)
    ]
    baseline = Baseline(calibration.usual, seen=seen)
    baseline.settled()
    return baseline


def _required(classifier: Classifier, watched: str | None) -> "Calibration":
    calibration = classifier.calibration
    if calibration is None or calibration.alarm != watched:
        raise FramemixError(
            f"--baseline: {classifier.name} is not calibrated for {watched or 'any class'}; "
            f"allowed: a model that `framemix calibrate` wrote"
        )
    return calibration


def _seconds(named: str) -> float | None:
    try:
        return float(named)
    except ValueError:
        return None
