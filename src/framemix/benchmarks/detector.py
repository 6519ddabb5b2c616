"""What `framemix calibrate` and `watch --baseline` do to false alarms, on drivers of the sample.

Drivers are drawn whom the model has not seen. Each is evaluated once, with a calibration on the
others.
"""

# W windows of a clip

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np

from framemix.calibration.clips import LabelledClip, listed_videos, predicted_clips
from framemix.calibration.fit import Fitting
from framemix.calibration.threshold import FalseAlarms, false_alarms, smoothed
from framemix.datasets.clips import STATE_NUMBERS
from framemix.datasets.origin import mark_drawn
from framemix.datasets.sample.faces import FaceVideo
from framemix.errors import DatasetError, FramemixError
from framemix.inference.alarm import ON, USUAL
from framemix.inference.baseline import divided, odds_divisor
from framemix.inference.commands import STEP
from framemix.inference.loading import live_sliding
from framemix.inference.torch_classifier import classifier_of
from framemix.jobs.progress import track
from framemix.metrics.intervals import estimate
from framemix.metrics.measures import Floats, share_measure
from framemix.metrics.temperature import tempered
from framemix.models import load_model
from framemix.models.calibration import Calibration
from framemix.tables import write_csv
from framemix.text.markdown import Table

SEED = 1  # other people than those of params.yaml's sample, which has 0
SHORT_SIDE = 120  # pixels, a third of the sample's: windows are mixed at 60x80
BASELINE = 0.25  # of an alert video; what follows is evaluated
DROWSY = 0.5  # the length of a drowsy video, as a share of the alert one's
STRETCH = 30.0  # seconds of a drowsy clip
MOST = 6.0  # false alarms per hour, `framemix calibrate`'s default
COLUMNS = ("path", "label", "group", "start", "end")
HEAD = (
    "alarm",
    "false alarms",
    "hours without an alarm",
    "per hour",
    "95 % interval",
    "drivers with any",
    "alert time in alarm, %",
    "drowsy clips found, %",
    "95 % interval",
)


@dataclass(frozen=True)
class DriverResult:
    """What an alarm did in the alert hours of a driver, and whether it found each drowsy clip."""

    driver: str
    hours: float
    false: FalseAlarms
    found: Sequence[bool]


# The probabilities (W,) of drowsy in a driver's clip.
Shares = Callable[[LabelledClip], Floats]


def bench_detector(model: Path, out: Path, drivers: int, minutes: float) -> str:
    """Render drivers into `out`, list them in its clips.csv, and return a table of alarms.

    Each has `minutes` of alert video and half as many drowsy ones. Raises ModelError, DatasetError
    where the model has other classes, and FramemixError where the baseline would have no window.
    """
    trained = replace(load_model(model), calibration=None)
    sliding = live_sliding(trained.trained_on, None, STEP)
    until = BASELINE * 60 * minutes
    if until < sliding.window:
        least = sliding.window / BASELINE / 60
        raise FramemixError(f"--minutes {minutes:g}: allowed for this model: {least:g} or more")
    listed = render_drivers(out, drivers, minutes)
    classifier = classifier_of(trained, model, "cpu")
    found = listed_videos(listed, trained.classes)
    clips, errors = predicted_clips(classifier, found, listed, sliding)
    if errors:
        raise DatasetError(errors[0])
    ways: dict[str, list[DriverResult]] = {}
    for driver in sorted({clip.group for clip in clips}):
        others = [clip for clip in clips if clip.group != driver]
        calibration = Fitting(others, trained.classes, USUAL, sliding).fit(MOST)
        own = [clip for clip in clips if clip.group == driver]
        for name, result in _results(own, trained.classes.index(USUAL), calibration, until):
            ways.setdefault(name, []).append(result)
    return Table(HEAD, [_row(name, results) for name, results in ways.items()]).markdown()


def render_drivers(out: Path, drivers: int, minutes: float) -> Path:
    """Write an alert and a drowsy video of each driver; return the list of their clips."""
    seconds = {"alert": 60 * minutes, USUAL: 60 * minutes * DROWSY}
    names = [f"{number:02}" for number in range(1, drivers + 1)]
    tasks = [(name, state) for name in names for state in seconds]
    for name, state in track(tasks, total=len(tasks), label="render drivers"):
        (out / name).mkdir(parents=True, exist_ok=True)
        number = STATE_NUMBERS[state]
        video = FaceVideo(SEED, int(name), number, seconds[state], short_side=SHORT_SIDE)
        video.write(out / name / f"{state}.mp4")
    mark_drawn(out)
    rows = [row for name in names for row in _rows(name, seconds[USUAL])]
    write_csv(out / "clips.csv", COLUMNS, [dict(zip(COLUMNS, row, strict=True)) for row in rows])
    return out / "clips.csv"


def _rows(name: str, seconds: float) -> Iterator[tuple[str, str, str, object, object]]:
    """Yield a row for a driver's alert video, and for each stretch of the drowsy one."""
    yield f"{name}/alert.mp4", "alert", name, "", ""
    for start in np.arange(0, seconds, STRETCH):
        yield f"{name}/{USUAL}.mp4", USUAL, name, start, min(start + STRETCH, seconds)


def _results(
    own: Sequence[LabelledClip], place: int, calibration: Calibration, until: float
) -> Iterator[tuple[str, DriverResult]]:
    """Yield how each kind of alarm does on a driver's clips, but for those before `until`."""

    def plain(clip: LabelledClip) -> Floats:
        return tempered(clip.log_p, 1.0)[:, place]

    def calibrated(clip: LabelledClip) -> Floats:
        return tempered(clip.log_p, calibration.temperature)[:, place]

    def personal(clip: LabelledClip) -> Floats:
        alert = next(one for one in own if one.label != USUAL)
        seen = calibrated(alert)[alert.ends <= until].tolist()
        divisor = odds_divisor(seen, calibration.usual)
        return np.array([divided(p, divisor) for p in calibrated(clip).tolist()])

    yield "as trained, 0.7", _alarmed(own, plain, ON, until)
    yield "calibrated", _alarmed(own, calibrated, calibration.on, until)
    yield "calibrated, with a baseline", _alarmed(own, personal, calibration.on, until)


def _alarmed(own: Sequence[LabelledClip], shares: Shares, on: float, until: float) -> DriverResult:
    (alert,) = (clip for clip in own if clip.label != USUAL)
    drowsy = [clip for clip in own if clip.label == USUAL]
    later = alert.ends > until
    levels = smoothed(shares(alert)[later], alert.ends[later])
    found = [bool(smoothed(shares(clip), clip.ends).max() >= on) for clip in drowsy]
    false = false_alarms([levels], on, STEP)
    return DriverResult(alert.group, len(levels) * STEP / 3600, false, found)


def _row(name: str, results: Sequence[DriverResult]) -> list[str]:
    false = reduce(add, (one.false for one in results))
    hits = np.array([hit for one in results for hit in one.found])
    drivers = [one.driver for one in results for _ in one.found]
    found = estimate(share_measure("sensitivity", hits), drivers)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    low, high = false.interval
    in_alarm = 1 - false.hours / sum(one.hours for one in results)
    return [
        name,
        str(false.alarms),
        f"{false.hours:.2f}",
        f"{false.per_hour:.1f}",
        f"{low:.1f} to {high:.1f}",
        f"{sum(one.false.alarms > 0 for one in results)} of {len(results)}",
        f"{100 * in_alarm:.1f}",
        f"{100 * found.value:.1f} of {found.clips}",
        f"{100 * found.low:.1f} to {100 * found.high:.1f}",
    ]
